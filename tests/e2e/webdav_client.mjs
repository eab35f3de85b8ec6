// What a program that uses the npm package `webdav` does. Arguments: URL, user, password.
// test_npm_webdav.py runs it; it ends with 1 and says why where something is not as it must be.

import assert from "node:assert/strict";
import { buffer } from "node:stream/consumers";
import { createClient } from "webdav";

const [url, username, password] = process.argv.slice(2);
const client = createClient(url, { username, password });
const name = "naïve #1 50% & <more> 日本.bin";
const content = Buffer.alloc(1_500_000, "0123456789abcdef~");

await client.createDirectory("/folder/deep/er", { recursive: true });
assert.equal(await client.putFileContents(`/folder/${name}`, content), true);
assert.equal(await client.putFileContents(`/folder/${name}`, "no", { overwrite: false }), false);
assert.deepEqual(await client.getFileContents(`/folder/${name}`), content);

const stat = await client.stat(`/folder/${name}`);
assert.equal(stat.type, "file");
assert.equal(stat.size, content.length);
assert.equal(stat.basename, name);
assert.ok(stat.etag);
const names = (await client.getDirectoryContents("/folder")).map((item) => item.basename);
assert.deepEqual(names.sort(), ["deep", name]);
const all = await client.getDirectoryContents("/", { deep: true });
assert.equal(all.length, 4);

const range = { start: 100, end: 199 };
const part = await buffer(client.createReadStream(`/folder/${name}`, { range }));
assert.deepEqual(part, content.subarray(100, 200));

await client.copyFile("/folder", "/copy");
await client.moveFile(`/copy/${name}`, "/copy/moved");
assert.equal(await client.exists(`/copy/${name}`), false);
assert.deepEqual(await client.getFileContents("/copy/moved"), content);

const lock = await client.lock("/copy/moved");
await assert.rejects(client.putFileContents("/copy/moved", "not mine"), { status: 423 });
await client.unlock("/copy/moved", lock.token);

await client.deleteFile("/folder");
assert.equal(await client.exists("/folder"), false);

const stranger = createClient(url, { username, password: "wrong" });
await assert.rejects(stranger.stat("/copy/moved"), { status: 401 });
console.log("all as it must be");
