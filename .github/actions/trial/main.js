'use strict';

require('./step').start(process.env.INPUT_RUN ? ['trial', 'trial-run'] : ['trial']);
