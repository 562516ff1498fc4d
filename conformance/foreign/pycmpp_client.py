#!/usr/bin/env python3
"""A CMPP 2.0 client that is not ours (PyPI pycmpp) against an ISMG: HOST PORT SP_ID SECRET.

Connects, sends a short and a long message with reports requested, probes the link as it goes, counts the reports for at
most 15 s, prints what it saw as one JSON line. It never answers a report: it cannot. Exits 0 when the login and every
part were accepted and every part was reported, 1 otherwise, 2 on usage, 3 when pycmpp is not installed.
"""

import json
import logging
import os
import sys
import threading
import time

try:
    from pycmpp import Cmpp
    from pycmpp import cmpp_defines as defines
    from pycmpp.response import ConnectResponseInstance, SubmitResponseInstance
except ImportError:
    print("pycmpp is not installed: pip install pycmpp", file=sys.stderr)
    sys.exit(3)

WAIT_SECONDS = 15
SHORT = "【桥】验证码 4213"
LONG = "桥" * 150


def main(host, port, sp_id, secret):
    logging.disable(logging.CRITICAL)
    seen = {"status": None, "accepted": {}, "reports": {}, "heartbeats": 0}
    client = Cmpp(host=host, port=int(port), sp_id=sp_id, sp_secret=secret, src_id="10690001", delivery=1)

    changed = threading.Condition()

    def handler(act):
        def called(message):
            with changed:
                act(message)
                changed.notify_all()

        # pycmpp makes an object of each message and calls it.
        return lambda _cmpp, message: lambda: called(message)

    def connected(message):
        answer = ConnectResponseInstance()
        answer.resolve(message)
        seen["status"] = answer.status

    def submitted(message):
        answer = SubmitResponseInstance()
        answer.resolve(message)
        if answer.status == 0:
            seen["accepted"][answer.seq_id] = "%016x" % answer.msg_id

    def delivered(message):
        # pycmpp has no reader for DELIVER: id and outcome stand first in the content, which a phone number precedes.
        content = message[12 + 8 + 21 + 10 + 3 + 21 + 1 + 1:]
        seen["reports"].setdefault(content[:8].hex(), []).append(content[8:15].decode())

    def alive(_message):
        seen["heartbeats"] += 1

    client.handlers.update({
        defines.CMPP_CONNECT_RESP: handler(connected),
        defines.CMPP_SUBMIT_RESP: handler(submitted),
        defines.CMPP_DELIVER_REQ: handler(delivered),
        defines.CMPP_ACTIVE_TEST_RESP: handler(alive),
    })
    threading.Thread(target=client.run, daemon=True).start()
    until = time.monotonic() + WAIT_SECONDS

    def wait(done):
        with changed:
            return changed.wait_for(done, until - time.monotonic())

    wait(lambda: seen["status"] is not None)
    client.submit(SHORT, ["13800138000"])
    client.submit(LONG, ["13800138001"])
    parts = 1 + (len(LONG) + 63) // 64
    reported = lambda: set(seen["accepted"].values()) <= set(seen["reports"])
    complete = lambda: len(seen["accepted"]) == parts and reported() and seen["heartbeats"] > 0
    ok = wait(complete) and seen["status"] == 0
    print(json.dumps({"ok": ok, "parts": parts, **seen}))
    return 0 if ok else 1


if __name__ == "__main__":
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        code = main(*sys.argv[1:])
    except Exception as error:
        print(json.dumps({"ok": False, "error": "%s: %s" % (type(error).__name__, error)}))
        code = 1
    # pycmpp's heartbeat never ends.
    sys.stdout.flush()
    os._exit(code)
