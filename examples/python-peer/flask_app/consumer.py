"""A consumer thread: takes greetings and publishes an answer to each."""

import threading
import uuid

from kombu import Connection, Producer
from kombu.mixins import ConsumerMixin

from bus import ANSWERED, URL, events, greetings


class GreetingConsumer(ConsumerMixin):
    def __init__(self, number):
        self.connection = Connection(URL, heartbeat=10)
        self.number = number
        # How often run() looks at should_stop: a stop takes about this long. Seconds.
        self.thread = threading.Thread(target=self.run, kwargs={"safety_interval": 0.2})

    def start(self):
        self.thread.start()

    def stop(self):
        self.should_stop = True
        self.thread.join()

    def get_consumers(self, Consumer, channel):
        return [Consumer(queues=[greetings], callbacks=[self.on_greeting], accept=["json"], prefetch_count=10)]

    def on_consume_ready(self, connection, channel, consumers, **kwargs):
        print(f"consumer {self.number}: consuming", flush=True)

    def on_greeting(self, body, message):
        print(f"consumer {self.number}: received {body['text']}", flush=True)
        Producer(message.channel).publish(
            {"text": body["text"], "answer": f"{body['text']} to you too"},
            exchange=events,
            routing_key=ANSWERED,
            serializer="json",
            message_id=str(uuid.uuid5(uuid.NAMESPACE_OID, str(message.properties.get("message_id")))),
        )
        message.ack()
