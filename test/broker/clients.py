"""Pika and Kombu against the broker on the port given: declare, publish with confirms, consume, acknowledge."""
import sys

library, port = sys.argv[1], int(sys.argv[2])


def with_pika():
    import pika

    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, heartbeat=5))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare("py.topic", "topic", durable=True)
    channel.queue_declare("py.pika", durable=True)
    channel.queue_bind("py.pika", "py.topic", "a.#")
    for n in range(200):
        properties = pika.BasicProperties(delivery_mode=2, message_id=str(n), headers={"n": n})
        channel.basic_publish("py.topic", "a.b", b"%d" % n, properties, mandatory=True)
    try:
        channel.basic_publish("", "py.nobody", b"x", mandatory=True)
        raise SystemExit("an unroutable message was taken")
    except pika.exceptions.UnroutableError:
        pass
    channel.basic_qos(prefetch_count=10)
    got = []
    for method, properties, body in channel.consume("py.pika", inactivity_timeout=20):
        assert method is not None, "nothing came for 20 s"
        assert properties.headers == {"n": int(body)}
        got.append(int(body))
        channel.basic_ack(method.delivery_tag)
        if len(got) == 200:
            break
    channel.cancel()
    assert got == list(range(200)), got
    assert channel.queue_declare("py.pika", passive=True).method.message_count == 0
    try:
        channel.queue_declare("py.pika", durable=False)
        raise SystemExit("an unequal declaration was taken")
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 406 and "inequivalent arg 'durable'" in error.reply_text, error
    connection.close()


def with_kombu():
    from kombu import Connection, Exchange, Queue
    from kombu.pools import producers

    url = "amqp://guest:guest@127.0.0.1:%d//" % port
    with Connection(url, transport_options={"confirm_publish": True}, heartbeat=5) as connection:
        media = Exchange("py.media", "topic", durable=True)
        video = Queue("py.video", media, routing_key="video.#")
        with producers[connection].acquire(block=True) as producer:
            for n in range(100):
                producer.publish({"n": n}, exchange=media, routing_key="video.new", declare=[video], serializer="json", retry=True)
        got = []

        def on_message(body, message):
            got.append(body["n"])
            message.ack()

        with connection.Consumer(video, callbacks=[on_message], prefetch_count=10):
            while len(got) < 100:
                connection.drain_events(timeout=20)
        assert got == list(range(100)), got
        simple = connection.SimpleQueue("py.simple")
        simple.put({"a": 1})
        message = simple.get(timeout=20)
        message.reject(requeue=True)
        message = simple.get(timeout=20)
        assert message.delivery_info["redelivered"] and message.headers["x-delivery-count"] == 1, message.headers
        message.ack()
        assert simple.qsize() == 0
        simple.close()
        broadcast = Queue("", Exchange("py.fanout", "fanout"), exclusive=True)(connection.channel())
        broadcast.declare()
        assert broadcast.name.startswith("amq.gen-"), broadcast.name


{"pika": with_pika, "kombu": with_kombu}[library]()
print("done")
