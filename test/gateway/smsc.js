// A mobile network on top of the SMPP implementation of npm's package "smpp", so that Kannel is also tested against
// one that is not ours. Options, log and control port are those of smsc.pl (README.md in this folder), as far as they
// are here: it takes any login, answers every submit_sm with an id, sends receipts, and lets subscribers write.
//
//   node smsc.js --port PORT --log FILE --control-port PORT [--receipt-ms N] [--undeliverable REGEX] [--refuse REGEX]
//
// NODE_PATH names the folder in which npm has installed the package.

'use strict';

const fs = require('fs');
const net = require('net');
const smpp = require('smpp');

const option = { 'receipt-ms': '500' };
for (let i = 2; i + 1 < process.argv.length; i += 2)
	option[process.argv[i].slice(2)] = process.argv[i + 1];
const matches = (name, number) => option[name] !== undefined && new RegExp(option[name]).test(number);

// A part of a text may end inside a character, so parts are joined as octets and decoded as one.
const CODING_UCS2 = 8;
const decoders = { [CODING_UCS2]: smpp.encodings.UCS2.decode, 0: smpp.encodings.ASCII.decode };
for (const name of Object.keys(smpp.encodings))
	if (smpp.encodings[name] && smpp.encodings[name].decode)
		smpp.encodings[name].decode = (octets) => octets;

const receivers = new Set();
const partsOf = new Map();
let lastId = 0;

function logEvent(event, fields) {
	fs.appendFileSync(option.log, JSON.stringify({ event, at: Date.now() / 1000, ...fields }) + '\n');
}

const number = (ton, digits) => (ton === 1 && !digits.startsWith('+') ? '+' + digits : digits);
const address = (text) => (text.startsWith('+') ? { ton: 1, digits: text.slice(1) } : { ton: 0, digits: text });

// 3GPP TS 23.040, 9.2.3.24: elements 00 (8 bits of reference) and 08 (16 bits) number the parts of a text.
function partOf(elements) {
	for (const element of elements || []) {
		if (element[0] === 0x00 && element.length === 5)
			return { reference: element[2], total: element[3], number: element[4] };
		if (element[0] === 0x08 && element.length === 6)
			return { reference: element.readUInt16BE(2), total: element[4], number: element[5] };
	}
	return null;
}

function deliver(from, to, fields) {
	const source = address(from);
	const destination = address(to);
	const [session] = receivers;

	if (session)
		session.deliver_sm({ source_addr_ton: source.ton, source_addr: source.digits, dest_addr_ton: destination.ton,
			destination_addr: destination.digits, ...fields.pdu }, (answer) => fields.answered(answer.command_status));
}

// SMPP 3.4, appendix B.
function sendReceipt(submit) {
	const stat = matches('undeliverable', submit.destination) ? 'UNDELIV' : 'DELIVRD';
	const date = new Date().toISOString().replace(/\D/g, '').slice(2, 12);
	const text = `id:${submit.id} sub:001 dlvrd:${stat === 'DELIVRD' ? '001' : '000'} submit date:${date} done date:${date} `
		+ `stat:${stat} err:${stat === 'DELIVRD' ? '000' : '001'} text:`;

	deliver(submit.destination, submit.source, {
		pdu: { esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT, data_coding: 0, short_message: Buffer.from(text, 'ascii'), receipted_message_id: submit.id,
			message_state: stat === 'DELIVRD' ? 2 : 5 },
		answered: (answer) => logEvent('receipt', { id: submit.id, destination: submit.destination, stat, answer }),
	});
}

// The whole text, when its last part is there.
function joinParts(submit) {
	const total = submit.part ? submit.part.total : 1;
	const key = [submit.source, submit.destination, submit.part ? submit.part.reference : submit.id].join(' ');
	const parts = partsOf.get(key) || partsOf.set(key, []).get(key);

	parts[submit.part ? submit.part.number - 1 : 0] = submit;
	if (parts.filter(Boolean).length < total)
		return;
	partsOf.delete(key);
	logEvent('message', { source: submit.source, destination: submit.destination, parts: total, ids: parts.map((part) => part.id),
		text: decoders[submit.coding](Buffer.concat(parts.map((part) => part.octets))) });
}

function takeSubmit(session, pdu) {
	const submit = { id: String(++lastId), source: number(pdu.source_addr_ton, pdu.source_addr),
		destination: number(pdu.dest_addr_ton, pdu.destination_addr), coding: pdu.data_coding, octets: pdu.short_message.message,
		part: partOf(pdu.short_message.udh) };

	if (matches('refuse', submit.destination))
		return session.send(pdu.response({ command_status: smpp.ESME_RINVDSTADR }));
	logEvent('submit', { id: submit.id, source: submit.source, destination: submit.destination, data_coding: submit.coding, part: submit.part,
		octets_hex: submit.octets.toString('hex') });
	session.send(pdu.response({ message_id: submit.id }));
	joinParts(submit);
	if (pdu.registered_delivery & 3)
		setTimeout(sendReceipt, Number(option['receipt-ms']), submit);
}

smpp.createServer((session) => {
	const bind = (pdu) => {
		receivers.add(session);
		logEvent('bind', { system_id: pdu.system_id, receives: true });
		session.send(pdu.response({ system_id: 'smsc' }));
	};

	session.on('bind_transceiver', bind);
	session.on('submit_sm', (pdu) => takeSubmit(session, pdu));
	session.on('enquire_link', (pdu) => session.send(pdu.response()));
	session.on('unbind', (pdu) => { session.send(pdu.response()); session.close(); });
	session.on('close', () => receivers.delete(session));
	session.on('error', () => receivers.delete(session));
}).listen(Number(option.port), '127.0.0.1');

// "FROM TO TEXT" on the control port is a message somebody writes.
net.createServer((control) => {
	control.on('data', (line) => {
		const [, from, to, text] = String(line).match(/^(\S+) (\S+) (.*)$/m) || [];

		if (!text || receivers.size === 0)
			return control.end('no gateway is bound, or not FROM TO TEXT\n');
		deliver(from, to, { pdu: { data_coding: 0, short_message: Buffer.from(text, 'ascii') },
			answered: (answer) => { logEvent('reply', { source: from, destination: to, answer }); control.end(answer === 0 ? 'ok\n' : `status ${answer}\n`); } });
	});
}).listen(Number(option['control-port']), '127.0.0.1');

process.on('SIGTERM', () => process.exit(0));
