// One half of the action: the program that does it, the signals that are meant for it, and
// its exit code.
'use strict';

const { spawn } = require('child_process');
const path = require('path');

function start(verb) {
  const child = spawn('sh', [path.join(__dirname, '..', 'start.sh'), verb], { stdio: 'inherit' });
  // When a run is cancelled, the runner tells this process alone.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => child.kill(signal));
  }
  child.on('error', (error) => fail(verb, `expci needs a POSIX shell: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (code === null) fail(verb, `expci was ended by ${signal}`);
    else process.exitCode = code;
  });
}

// What fails in expci fails the job only if it is strict, or if the work itself was not done.
function fail(verb, message) {
  const counts =
    process.env.INPUT_STRICT === 'true' || (verb === 'trial' && Boolean(process.env.INPUT_RUN));
  console.log(`::${counts ? 'error' : 'warning'} title=expci::${message}`);
  process.exitCode = counts ? 1 : 0;
}

module.exports = { start };
