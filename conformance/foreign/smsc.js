#!/usr/bin/env node
// A message centre that is not ours (npm smpp): SYSTEM_ID PASSWORD.
//
// Listens on a free loopback port and says so in one JSON line, {"port":N}. Accepts the account's binds, answers each
// submit_sm with an id in hexadecimal, and 50 ms later sends a receipt that has the id in decimal, as some centres do.
// Prints one JSON line for each submit and for each receipt that was answered. Ends with SIGTERM.

const smpp = require('smpp');

const [systemId, password] = process.argv.slice(2);
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');
let next = 0x1a2b3c00;

const text = (pdu) => {
  const content = pdu.short_message;
  return typeof content === 'object' && content.message !== undefined ? content.message.toString() : String(content);
};

const stamp = () => new Date().toISOString().replace(/[-T:]/g, '').slice(2, 12);

const server = smpp.createServer((session) => {
  session.on('error', () => session.close());
  const bind = (pdu) => {
    const known = pdu.system_id === systemId && pdu.password === password;
    session.send(pdu.response({ command_status: known ? smpp.ESME_ROK : smpp.ESME_RBINDFAIL, system_id: 'foreign' }));
    say({ bind: pdu.command, known });
  };
  ['bind_transceiver', 'bind_transmitter', 'bind_receiver'].forEach((command) => session.on(command, bind));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on('submit_sm', (pdu) => {
    const number = next++;
    session.send(pdu.response({ message_id: number.toString(16) }));
    say({ submit: number, to: pdu.destination_addr, text: text(pdu), wanted: pdu.registered_delivery });
    setTimeout(() => session.deliver_sm({
      source_addr: pdu.destination_addr,
      destination_addr: pdu.source_addr,
      esm_class: 4,
      short_message: `id:${number} sub:001 dlvrd:001 submit date:${stamp()} done date:${stamp()} stat:DELIVRD err:000 text:`,
    }, (answer) => say({ receipt: number, status: answer.command_status })), 50);
  });
});

process.on('SIGTERM', () => process.exit(0));
server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
