"""A Celery app for tests: its tasks, run by `python3 -m celery -A tasks worker`, and a caller behind HTTP: `tasks.py`.

The caller says "port N", then answers POST with {task, args, kwargs, options, sign}: what the result's get() returns or raises.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from celery import Celery, chord

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


def call(task, args=(), kwargs=None, options=None, compose=None, wait=20):
    signature = app.signature(task, args=args, kwargs=kwargs or {})
    if compose == "chain":
        signature = signature | app.signature(task, args=[1])
    if compose == "chord":
        signature = chord([signature, signature], app.signature("math.add"))
    result = signature.apply_async(**(options or {}))
    if wait == 0:
        return result.id
    value = result.get(timeout=wait, disable_sync_subtasks=False)
    return {"value": value, "id": result.id, "traceback": result.traceback}


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Caller)
    print(f"port {server.server_address[1]}", flush=True)
    server.serve_forever()
