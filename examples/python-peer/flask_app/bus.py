"""The contracts, as ../contracts.ts has them: one durable topic exchange, an event's type as its routing key."""

import os

from kombu import Exchange, Queue

URL = os.environ.get("BUS_URL", "amqp://guest:guest@127.0.0.1:5673//")

events = Exchange("omnibus.events", type="topic", durable=True)
greetings = Queue("flask.greetings", exchange=events, routing_key="greeting.sent.v1", durable=True)
ANSWERED = "greeting.answered.v1"
