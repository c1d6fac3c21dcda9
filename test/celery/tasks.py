"""A Celery app for tests: its tasks, run by `python3 -m celery -A tasks worker`, and a caller behind HTTP: `tasks.py`.

The caller says "port N", then answers POST with {canvas, wait, options}: what the result's get() returns or raises.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from celery import Celery, chain, chord, group

app = Celery("tasks", broker=os.environ["BROKER"], backend=os.environ.get("BACKEND", "rpc://"))
app.conf.update(
    broker_transport_options=json.loads(os.environ.get("TRANSPORT", "{}")),
    task_default_queue=os.environ["QUEUE"],
    task_protocol=int(os.environ.get("PROTOCOL", "2")),
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    # On its way, before the result: neither is one.
    task_track_started=True,
)


@app.task(name="math.add")
def add(x, y, scale=1):
    return (x + y) * scale


@app.task(name="fails")
def fails(text):
    raise ValueError(text, 42)


@app.task(name="big")
def big(size):
    return "x" * size


@app.task(name="sleeps")
def sleeps(seconds):
    time.sleep(seconds)
    return "slept"


@app.task(name="retries", bind=True, max_retries=3)
def retries(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task(name="nothing")
def nothing():
    return None


@app.task(name="total")
def total(numbers, more=0):
    return sum(numbers) + more


@app.task(name="told")
def told(*args):
    return args


@app.task(name="heard")
def heard(id):
    """Of one argument, so that Celery sends it, as a link_error, where it would call another at once."""
    return id


class Caller(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            answer = {"result": call(**asked)}
        except Exception as error:  # pylint: disable=broad-except
            kind = type(error)
            answer = {"error": kind.__name__, "module": kind.__module__, "args": [str(arg) for arg in error.args]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def build(canvas):
    """{task, args, kwargs, options, immutable}, or {chain: [...]}, {group: [...]}, {chord: [header, body]}; link and link_error with any."""
    links, errors = canvas.pop("link", []), canvas.pop("link_error", [])
    if "chain" in canvas:
        signature = chain(*map(build, canvas["chain"]))
    elif "group" in canvas:
        signature = group(*map(build, canvas["group"]))
    elif "chord" in canvas:
        header, body = canvas["chord"]
        signature = chord(list(map(build, header)), build(body))
    else:
        signature = app.signature(canvas.pop("task"), **canvas)
    for link in links:
        signature.link(build(link))
    for error in errors:
        signature.link_error(build(error))
    return signature


def call(canvas, wait=20, options=None):
    result = build(canvas).apply_async(**(options or {}))
    if wait == 0:
        return {"id": result.id}
    value = result.get(timeout=wait, disable_sync_subtasks=False)
    told = {"value": value, "id": result.id}
    if not isinstance(value, list):
        told.update(traceback=result.traceback, children=[child.get(timeout=wait) for child in result.children or ()])
    return told


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Caller)
    print(f"port {server.server_address[1]}", flush=True)
    server.serve_forever()
