// Loaded into every Node.js process of a trial: writes down who is called, then lets the call go on (and fail, since
// the namespace has no network).
'use strict';
const fs = require('node:fs');
const dns = require('node:dns');
const net = require('node:net');
const log = process.env.STAGE_TRIAL_LOG;
const local = (host) => !host || host === 'localhost' || host === '::1' || String(host).startsWith('127.');
const note = (host, port) => {
  if (!log || local(host)) return;
  try { fs.appendFileSync(log, `${String(host).slice(0, 255)}${port ? ':' + port : ''}\n`); } catch { /* no log, no note */ }
};
const lookup = dns.lookup;
dns.lookup = function (host, ...rest) { note(host); return lookup.call(this, host, ...rest); };
const promised = dns.promises.lookup;
dns.promises.lookup = function (host, ...rest) { note(host); return promised.call(this, host, ...rest); };
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (options && typeof options === 'object' && !options.path) note(options.host, options.port);
  return connect.apply(this, args);
};
