'use strict';

require('./step').start('trial');
