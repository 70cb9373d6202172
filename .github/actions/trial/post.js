'use strict';

require('./step').start(['trial-end', 'after']);
