'use strict';

require('./step').start(['after']);
