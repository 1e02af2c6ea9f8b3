# Buffers, JSON, compression, hashing and worker threads.
cat >workload.js <<'WORKLOAD'
const crypto = require('crypto');
const zlib = require('zlib');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

function work(seed) {
  const hash = crypto.createHash('sha256');
  let state = seed;
  let live = [];
  for (let i = 0; i < 12000; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    live.push(Buffer.alloc(state % 6000 + 1, i & 255));
    if (live.length > 400) live = live.filter((_, index) => index % 2);
    if (i % 300 === 0) {
      const text = JSON.stringify({ i, sizes: live.map((block) => block.length) });
      hash.update(zlib.gunzipSync(zlib.gzipSync(text)));
      hash.update(Buffer.concat(live));
    }
  }
  return hash.digest('hex');
}

if (isMainThread) {
  console.log('main', work(1));
  const results = [];
  for (const seed of [2, 3]) {
    new Worker(__filename, { workerData: seed }).on('message', (text) => {
      results.push(text);
      if (results.length === 2) console.log(results.sort().join('\n'));
    });
  }
} else {
  parentPort.postMessage(`worker ${workerData} ${work(workerData)}`);
}
WORKLOAD
under_test /usr/bin/node workload.js
