"""A web app that takes part in the bus by HTTP alone: no broker client, no library beside Flask."""

import json
import os
import time
import urllib.request

from flask import Flask, request

app = Flask(__name__)
gateway = os.environ.get("OMNIBUS_GATEWAY", "http://127.0.0.1:8081")


@app.post("/events")
def take():
    """Any 2xx acks the message, 4xx puts it among the dead letters, and anything else makes it come again."""
    order = request.get_json(silent=True)
    if not isinstance(order, dict) or "item" not in order:
        return {"error": "an order needs an item"}, 422
    time.sleep(float(os.environ.get("WORK_S", "0")))
    # The same id each time it comes, which makes an effect happen once: publish under an id derived from it.
    publish("order.packed.v1", f"{request.headers['ce-id']}-packed", order)
    return "", 204


def publish(event, event_id, data):
    """Returns when the broker has kept the event; raises otherwise, so that what caused it comes again."""
    head = {"ce-specversion": "1.0", "ce-type": event, "ce-id": event_id, "ce-source": "packing", "content-type": "application/json"}
    call = urllib.request.Request(f"{gateway}/publish", json.dumps(data).encode(), head)
    urllib.request.urlopen(call, timeout=10).close()


@app.get("/healthz")
def healthy():
    return "", 204
