#!/usr/bin/env python3
"""An SMPP client that is not ours (PyPI smpplib) against a message centre: HOST PORT SYSTEM_ID PASSWORD.

Binds as a transceiver, sends a short and a long message with receipts requested, probes the link, waits for the
receipts for at most 15 s, unbinds, prints what it saw as one JSON line. Exits 0 when every part was accepted and every
part's receipt came, 1 otherwise, 2 on usage, 3 when smpplib is not installed.
"""

import json
import logging
import re
import socket
import sys
import time

try:
    import smpplib.client
    import smpplib.consts
    import smpplib.gsm
except ImportError:
    print("smpplib is not installed: pip install smpplib", file=sys.stderr)
    sys.exit(3)

WAIT_SECONDS = 15
SHORT = "Code [42] costs 3€"
LONG = "桥" * 150


def receipt_id(pdu):
    """The message id a receipt is about, from its TLV or its text."""
    tlv = getattr(pdu, "receipted_message_id", None)
    if tlv:
        return tlv.rstrip(b"\0").decode()
    found = re.match(rb"id:(\S+)", pdu.short_message or b"")
    return found.group(1).decode() if found else None


def names(text):
    """A message id and what it may be called in a receipt: some centres write it in another base."""
    spelled = {text}
    for base in (10, 16):
        try:
            number = int(text, base)
            spelled |= {str(number), "%010d" % number, "%x" % number, "%08x" % number}
        except ValueError:
            pass
    return spelled


def main(host, port, system_id, password):
    logging.disable(logging.CRITICAL)
    parts, sequences, accepted, receipts, uplink = [], [], {}, {}, 0
    client = smpplib.client.Client(host, int(port), timeout=1, allow_unknown_opt_params=True)

    def sent(pdu):
        accepted[pdu.sequence] = pdu.message_id.decode()

    def received(pdu):
        nonlocal uplink
        if pdu.command == "deliver_sm" and pdu.esm_class & 0x04:
            stat = re.search(rb"stat:(\w+)", pdu.short_message or b"")
            receipts[receipt_id(pdu)] = stat.group(1).decode() if stat else None
        elif pdu.command == "deliver_sm":
            uplink += 1
        return 0

    client.set_message_sent_handler(sent)
    client.set_message_received_handler(received)
    client.connect()
    client.bind_transceiver(system_id=system_id, password=password)
    for number, text in enumerate((SHORT, LONG)):
        pieces, data_coding, esm_class = smpplib.gsm.make_parts(text)
        for piece in pieces:
            pdu = client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_INTL,
                source_addr="10690001",
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                destination_addr="861380000%04d" % number,
                short_message=piece,
                data_coding=data_coding,
                esm_class=esm_class,
                registered_delivery=1,
            )
            parts.append(len(piece))
            sequences.append(pdu.sequence)
    until = time.monotonic() + WAIT_SECONDS
    done = lambda: len(accepted) == len(parts) and all(names(sent) & set(receipts) for sent in accepted.values())
    while not done() and time.monotonic() < until:
        try:
            # On its own time-out smpplib sends an enquire_link and goes on.
            client.read_once()
        except (socket.timeout, TimeoutError):
            pass
    complete = done()
    client.unbind()
    client.disconnect()
    print(json.dumps({
        "ok": complete,
        "parts": parts,
        "accepted": [accepted.get(sequence) for sequence in sequences],
        "receipts": receipts,
        "uplink": uplink,
    }, ensure_ascii=False))
    return 0 if complete else 1


if __name__ == "__main__":
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(main(*sys.argv[1:]))
    except Exception as error:
        print(json.dumps({"ok": False, "error": "%s: %s" % (type(error).__name__, error)}))
        sys.exit(1)
