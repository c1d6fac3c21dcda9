"""`python.py CLIENT OPERATION URL QUEUE IN-FLIGHT COUNT [TRANSPORT-OPTIONS]`: as run-client.ts, for Kombu and pika."""

import json
import resource
import sys
import time

CLIENT, OPERATION, URL, QUEUE = sys.argv[1:5]
IN_FLIGHT, COUNT = int(sys.argv[5]), int(sys.argv[6])
# Kombu's, in JSON.
TRANSPORT_OPTIONS = json.loads(sys.argv[7]) if len(sys.argv) > 7 else {"confirm_publish": True}
ID = "b7e0c3de-5f0a-4a57-9df5-2a4a3a0a9c11"
FRAMING = len(json.dumps({"id": ID, "text": ""}, separators=(",", ":")))
PAYLOAD = {"id": ID, "text": "x" * (int(QUEUE.rsplit(".", 1)[-1]) - FRAMING)}


class Meter:
    def __init__(self):
        self.seen, self.warm, self.result = 0, COUNT // 5, None

    def tick(self):
        self.seen += 1
        if self.seen == self.warm:
            self.cpu, self.begin = cpu(), time.monotonic()
        if self.seen != COUNT:
            return False
        measured = COUNT - self.warm
        self.result = {
            "perSecond": measured / (time.monotonic() - self.begin),
            "cpuMicroseconds": (cpu() - self.cpu) * 1e6 / measured,
        }
        return True


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def check(arrived):
    if arrived["id"] != ID or len(arrived["text"]) != len(PAYLOAD["text"]):
        raise RuntimeError("a wrong message arrived")


def kombu(meter):
    from kombu import Connection, Queue

    queue = Queue(QUEUE, durable=True)
    with Connection(URL, transport_options=TRANSPORT_OPTIONS) as connection:
        if OPERATION == "publish":
            # One at a time: Kombu waits for each confirm.
            producer = connection.Producer(serializer="json")
            queue(connection.default_channel).declare()
            while True:
                producer.publish(PAYLOAD, exchange="", routing_key=QUEUE, delivery_mode=2, mandatory=True)
                if meter.tick():
                    return
        done = False

        def on_message(body, message):
            nonlocal done
            check(body)
            message.ack()
            done = meter.tick() or done

        with connection.Consumer([queue], callbacks=[on_message], accept=["json"], prefetch_count=IN_FLIGHT):
            while not done:
                connection.drain_events(timeout=30)


def pika(meter):
    import pika as library

    def on_open(channel):
        if OPERATION == "consume":
            channel.basic_qos(prefetch_count=IN_FLIGHT)
            channel.basic_consume(QUEUE, on_message)
            return
        state = {"left": COUNT, "told": 0}
        properties = library.BasicProperties(content_type="application/json", delivery_mode=2)

        def publish():
            if state["left"] > 0:
                state["left"] -= 1
                channel.basic_publish("", QUEUE, json.dumps(PAYLOAD, separators=(",", ":")), properties, mandatory=True)

        def on_confirm(frame):
            last = frame.method.delivery_tag
            confirmed = last - state["told"] if frame.method.multiple else 1
            state["told"] = max(state["told"], last)
            for _ in range(confirmed):
                if meter.tick():
                    connection.ioloop.stop()
                publish()

        channel.confirm_delivery(on_confirm)
        for _ in range(IN_FLIGHT):
            publish()

    def on_message(channel, deliver, properties, body):
        check(json.loads(body))
        channel.basic_ack(deliver.delivery_tag)
        if meter.tick():
            connection.ioloop.stop()

    def on_channel(channel):
        channel.queue_declare(QUEUE, durable=True, callback=lambda _: on_open(channel))

    def on_connected(opened):
        opened.channel(on_open_callback=on_channel)

    connection = library.SelectConnection(library.URLParameters(URL), on_open_callback=on_connected)
    connection.ioloop.start()


METER = Meter()
{"kombu": kombu, "pika": pika}[CLIENT](METER)
print(json.dumps(METER.result), flush=True)
