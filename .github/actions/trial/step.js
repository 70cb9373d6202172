// One half of the action: the programs that do it, one after the other, the signals that are
// meant for them, and the exit code.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const START = path.join(__dirname, '..', 'start.sh');
const TOKEN = 'INPUT_TOKEN';
// What runs the work, or looks at the checkout after it: the work may have written what git runs.
const WITHOUT_TOKEN = ['trial-run', 'trial-end'];
let cancelled = false;

// The programs of one half: each sees of the inputs what it needs.
async function start(verbs) {
  const environment = { ...process.env };
  if (verbs.includes('trial-run')) {
    const place = fs.mkdtempSync(path.join(process.env.RUNNER_TEMP || os.tmpdir(), 'expci-'));
    environment.EXPCI_BEGUN = path.join(place, 'begun.json');
  }
  if (verbs.some((verb) => WITHOUT_TOKEN.includes(verb))) forget(TOKEN);
  for (const verb of verbs) {
    const visible = { ...environment };
    if (WITHOUT_TOKEN.includes(verb)) delete visible[TOKEN];
    const code = await run(verb, visible);
    process.exitCode = process.exitCode || code;
    // Nothing is run without its arm; what was recorded is sent whatever the record says.
    if (cancelled || (verb === 'trial' && code !== 0)) return;
  }
}

function run(verb, environment) {
  const child = spawn('sh', [START, verb], { stdio: 'inherit', env: environment });
  // When a run is cancelled, the runner tells this process alone.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.removeAllListeners(signal);
    process.on(signal, () => {
      cancelled = true;
      child.kill(signal);
    });
  }
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(fail(verb, `expci needs a POSIX shell: ${error.message}`)));
    child.on('exit', (code, signal) =>
      resolve(code === null ? fail(verb, `expci was ended by ${signal}`) : code));
  });
}

// What a process was started with stays readable in /proc/PID/environ, for the command too,
// whatever the process deletes from its own environment: so it is overwritten there (proc(5)).
function forget(name) {
  delete process.env[name];
  if (process.platform !== 'linux') return;
  const entries = fs.readFileSync('/proc/self/environ', 'latin1');
  const at = `\0${entries}`.indexOf(`\0${name}=`);
  if (at < 0) return;
  const length = entries.indexOf('\0', at) - at;
  const stat = fs.readFileSync('/proc/self/stat', 'latin1');
  const ENV_START = 50 - 3; // the third field follows the program's name in parentheses
  const begin = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[ENV_START]);
  try {
    const memory = fs.openSync('/proc/self/mem', 'r+');
    fs.writeSync(memory, Buffer.alloc(length, '-'), 0, length, begin + at);
    fs.closeSync(memory);
  } catch (error) {
    console.log(`::warning title=expci::the command can read this step's token: ${error.message}`);
  }
}

// What fails in expci fails the job only if it is strict, or if the work itself was not done.
function fail(verb, message) {
  const counts = process.env.INPUT_STRICT === 'true' || verb === 'trial-run';
  console.log(`::${counts ? 'error' : 'warning'} title=expci::${message}`);
  return counts ? 1 : 0;
}

module.exports = { start };
