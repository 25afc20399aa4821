// In a worker: measures the newest setting, and posts what it has so far. A message is
// {id, setting, books: [{name, x, y}]}; answers carry its id. {id: 0} ends what is running.
const FIRST = 2, EVERY = 100, PRECISE = 0.003, LONGEST = 20_000;
let current = 0;
// lets messages in between two pieces of work
const pause = () => new Promise((resolve) => {
  const {port1, port2} = new MessageChannel();
  port1.onmessage = () => { port1.close(); resolve(); };
  port2.postMessage(null);
});

onmessage = async ({data: {id, setting, books}}) => {
  current = id;
  if (!id) return;
  const law = quantlab.laws.law(setting), begun = performance.now();
  const ratios = books.map(() => new quantlab.measure.Ratio());
  let told = -Infinity, exact = null, done = false;
  for (const whole of quantlab.measure.measure(setting, books, ratios)) {
    await pause();
    if (current !== id) return;
    const {draws} = ratios[0], now = performance.now();
    if (!whole || draws < FIRST || now - told < EVERY) continue;
    const t = quantlab.special.studentQuantile(0.025, draws - 1);
    const rows = ratios.map(({value, deviation}, i) => ({name: books[i].name, value, deviation, half: t * deviation}));
    done = rows.every(({value, half}) => half < PRECISE * value) || now - begun > LONGEST;
    postMessage({id, draws, rows, done});
    told = now;
    if (exact === null) {
      exact = [];
      for (const {name, x, y} of books) {
        exact.push({name, value: quantlab.exact.nmse(law, x, y, setting.inner_dim)});
        await pause();
        if (current !== id) return;
      }
      postMessage({id, exact});
    }
    if (done) return;
  }
};
