// A client of npm spacetimedb over the bindings that the server writes. Prints what it saw as JSON.
//   node spacetimedb_client.mjs <http url> <token> <v2 | v3> <none | gzip> <scenario>
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import * as undici from 'undici';

const [url, token, version, compression, scenario] = process.argv.slice(2);
// Node 20 has no WebSocket of its own; v2 alone is offered by leaving the other subprotocol out.
globalThis.WebSocket = class extends undici.WebSocket {
  constructor(address, protocols) { super(address, version === 'v2' ? protocols.filter((name) => name.startsWith('v2')) : protocols); }
};
for (const name of ['debug', 'info', 'log', 'warn', 'error', 'trace']) console[name] = () => {};
const source = await (await fetch(`${url}/v1/database/spaces/bindings.js`)).text();
const file = fileURLToPath(new URL(`./node_modules/.spaces-bindings-${process.pid}.mjs`, import.meta.url));
await writeFile(file, source);
const { DbConnection, tables } = await import(file);
const { rm } = await import('node:fs/promises');
await rm(file);

const seen = { events: [], errors: [], refusals: [] };
const settled = (start) => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`too late: ${JSON.stringify(seen)}`)), 15000).unref();
  start(resolve, reject);
});
const connection = await settled((resolve, reject) => DbConnection.builder()
  .withUri(url).withDatabaseName('spaces').withToken(token).withCompression(compression)
  .onConnect((made, identity) => { seen.identity = identity.toHexString(); resolve(made); })
  .onConnectError((_context, error) => reject(error))
  .onDisconnect(() => { seen.disconnected = true; })
  .build());
const subscribed = (queries) => settled((resolve) => connection.subscriptionBuilder()
  .onApplied(() => resolve('applied')).onError((context) => resolve(String(context.event?.message ?? context.event)))
  .subscribe(queries));
const plain = (row) => JSON.parse(JSON.stringify(row, (_name, value) => (typeof value === 'bigint' ? Number(value) : value)));
const until = (condition) => settled((resolve) => { const look = () => (condition() ? resolve() : setTimeout(look, 10)); look(); });
const table = connection.db.message;
table.onInsert((context, row) => seen.events.push(['insert', context.event.tag, row.content, row.sender.toHexString()]));
table.onDelete((context, row) => seen.events.push(['delete', context.event.tag, row.content]));
table.onUpdate((context, old, row) => seen.events.push(['update', context.event.tag, old.content, row.content]));
const say = (content, more = {}) => connection.reducers.sendMessage({
  channelId: 1n, content, threadId: 0n, replyToId: undefined, clientId: undefined, attachments: [], signature: undefined, ...more,
});
const refused = async (call) => {
  try { await call(); seen.refusals.push('none'); } catch (error) { seen.refusals.push(error.message); }
};

seen.subscribed = await subscribed(['SELECT * FROM channel', 'SELECT * FROM message WHERE channel_id = 1', 'SELECT * FROM server_member']);
seen.channels = [...connection.db.channel.iter()].map((row) => [row.name, row.channelType.tag]).sort();
seen.before = [...table.iter()].filter((row) => row.messageType.tag === 'Text').map((row) => row.content);
if (scenario === 'talk') {
  await say('hello from JavaScript');
  const mine = () => [...table.iter()].find((row) => row.content === 'hello from JavaScript');
  seen.row = plain(mine());
  await connection.reducers.editMessage({ messageId: mine().id, content: 'edited', signature: undefined });
  await refused(() => say(''));
  await refused(() => connection.reducers.deleteServer({ serverId: 1n }));
  await refused(() => connection.reducers.setProfile({ username: undefined, displayName: { } , avatarUrl: undefined, bio: undefined, dmFromAgents: undefined }));
  seen.badQueries = [];
  for (const query of ['SELECT * FROM nothing', 'SELECT id FROM message', 'SELECT * FROM message WHERE id > 1', 'DROP TABLE message']) {
    seen.badQueries.push(await subscribed([query]));
  }
  seen.typed = await subscribed([tables.channel.where((row) => row.id.eq(1n)), tables.server_member.where((row) => row.identity.eq(connection.identity))]);
  await Promise.all(Array.from({ length: Number(process.env.BURST ?? 20) }, (_unused, number) => say(`burst ${number}`)));
  process.stdout.write('ready\n');
  await until(() => seen.events.some((event) => event[2] === 'from Python'));
  const again = [...table.iter()].find((row) => row.content === 'burst 3');
  await connection.reducers.deleteMessage({ messageId: again.id, reason: 'why not' });
  seen.count = [...table.iter()].filter((row) => row.content.startsWith('burst')).length;
}
if (scenario === 'watch') {
  process.stdout.write('ready\n');
  await until(() => seen.disconnected || seen.events.some((event) => event[2] === 'stop'));
}
seen.left = [...table.iter()].filter((row) => row.messageType.tag === 'Text').map((row) => row.content);
connection.disconnect();
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));
