# mypy: ignore-errors
"""An auto-router in Orthanc's Python plugin that works as orthanc-simple-router does.

Written anew from its description: it polls the log of changes, four at a time, and sleeps five
seconds when there are none; asks for the tags and the calling AE title of each new instance;
gathers until half a second passes without one; sends to each candidate in a thread; joins the
threads; deletes. One thing is repaired: there, each candidate's thread deletes the instances while
the others still send them, and most studies arrive with holes; here they are deleted after the
join.
"""

import json
import os
import queue
import threading
import time
import urllib.request

import orthanc

URL = os.environ["BENCH_ORTHANC_URL"]
CANDIDATES = ("WRITER0", "WRITER1", "WRITER2")
arrived = queue.Queue()


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(URL + path, data), timeout=600) as answer:
        return answer.read()


def produce():
    since = 0
    while True:
        changes = json.loads(call(f"/changes?since={since}&limit=4"))
        for change in changes["Changes"]:
            if change["ChangeType"] == "NewInstance":
                number = change["ID"]
                json.loads(call(f"/instances/{number}/tags?simplify"))
                call(f"/instances/{number}/metadata/RemoteAET")
                arrived.put(number)
        since = changes["Last"]
        if changes["Done"]:
            time.sleep(5)  # noqa: TID251 - as there


def route():
    while True:
        batch = []
        while True:
            try:
                batch.append(arrived.get(timeout=0.5))
            except queue.Empty:
                break
        if batch:
            threads = [threading.Thread(target=send, args=(one, batch)) for one in CANDIDATES]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            call("/tools/bulk-delete", {"Resources": batch})


def send(candidate, batch):
    call(f"/modalities/{candidate}/store", {"Resources": batch})


def changed(change, level, resource):
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        threading.Thread(target=produce, daemon=True).start()
        threading.Thread(target=route, daemon=True).start()


orthanc.RegisterOnChangeCallback(changed)
