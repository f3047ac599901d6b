// node:http, which tells what it reads; see servers.py.
const http = require("node:http");
const crypto = require("node:crypto");
http
  .createServer((request, response) => {
    const hash = crypto.createHash("sha256");
    let length = 0;
    request.on("data", (data) => { hash.update(data); length += data.length; });
    request.on("end", () => {
      const { method, url: target } = request;
      const id = request.headers["x-request-id"] ?? null;
      console.log(JSON.stringify({ method, target, length, digest: hash.digest("hex"), id }));
      response.end("ok");
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
