// The @google/genai SDK for Node. Arguments: a turn, the base URL, the key.
const { GoogleGenAI } = require("@google/genai");
const { between, raised, run } = require("./turns.cjs");

const ASKED = { model: "gemini-2.5-flash", contents: "Good morning" };

const turns = {
  async generate(client) {
    return (await client.models.generateContent(ASKED)).text;
  },
  async stream(client) {
    let text = "";
    for await (const chunk of await client.models.generateContentStream(ASKED)) text += chunk.text ?? "";
    return text;
  },
  async count_tokens(client) {
    return (await client.models.countTokens(ASKED)).totalTokens;
  },
  live(client) {
    return new Promise((resolve, reject) => {
      let text = "";
      let session = null;
      const onmessage = (message) => {
        text += message.serverContent?.modelTurn?.parts?.[0]?.text ?? "";
        if (!message.serverContent?.turnComplete) return;
        session.close();
        resolve(text);
      };
      const callbacks = { onmessage, onerror: (event) => reject(event.error ?? event) };
      client.live
        .connect({ model: "gemini-2.5-flash", config: { responseModalities: ["TEXT"] }, callbacks })
        .then((opened) => {
          session = opened;
          session.sendClientContent({ turns: "Good morning" });
        }, reject);
    });
  },
  failing: (client) => raised(() => turns.generate(client)),
  cut: (client) => raised(() => turns.stream(client)),
  async twice(client) {
    const first = await turns.generate(client);
    await between();
    return [first, await turns.generate(client)];
  },
};

run(turns, (url, key) => new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } }));
