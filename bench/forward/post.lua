-- wrk: what a client of the gateway sends.
wrk.method = "POST"
wrk.body = '{"text":"' .. string.rep("x", 244) .. '"}'
wrk.headers["content-type"] = "application/json"
