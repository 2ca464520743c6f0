// dcmjs-dimse as a program: `echo PORT`, `send PORT FILE...` or `serve PORT FOLDER`.
// NODE_PATH says where the library is; USER_IDENTITY and ASYNC_OPS what a client negotiates.
'use strict';
const fs = require('fs');
const path = require('path');
const {
  Client,
  Scp,
  Server,
  association: { PresentationContext },
  requests,
  responses,
  constants,
} = require('dcmjs-dimse');

const [command, port, ...rest] = process.argv.slice(2);

// Transfer syntax of a Part 10 file, from its File Meta group.
function transferSyntaxOf(file) {
  const content = fs.readFileSync(file);
  const tag = content.indexOf(Buffer.from([0x02, 0x00, 0x10, 0x00, 0x55, 0x49]));
  const length = content.readUInt16LE(tag + 6);
  return content.toString('latin1', tag + 8, tag + 8 + length).replace(/\0+$/, '');
}

function options() {
  const chosen = {};
  if (process.env.USER_IDENTITY) {
    chosen.userIdentity = {
      type: constants.UserIdentityType.UsernameAndPasscode,
      positiveResponseRequested: true,
      primaryField: process.env.USER_IDENTITY,
      secondaryField: 'secret',
    };
  }
  if (process.env.ASYNC_OPS) {
    const window = Number(process.env.ASYNC_OPS);
    chosen.asyncOps = { maxAsyncOpsInvoked: window, maxAsyncOpsPerformed: window };
  }
  return chosen;
}

function call(list, proposed = []) {
  const client = new Client();
  // What the library proposes by itself begins with Implicit VR Little Endian.
  for (const [sopClass, syntax] of proposed) {
    client.addAdditionalPresentationContext(new PresentationContext(0, sopClass, syntax), true);
  }
  for (const request of list) {
    request.on('response', (response) => console.log('status', response.getStatus()));
    client.addRequest(request);
  }
  client.on('networkError', (error) => console.log('network error', error.message));
  client.on('associationRejected', () => console.log('rejected'));
  client.on('closed', () => process.exit(0));
  client.send('127.0.0.1', Number(port), 'DCMJS', 'ROUTER', options());
}

class Writer extends Scp {
  associationRequested(association) {
    for (const { id } of association.getPresentationContexts()) {
      const context = association.getPresentationContext(id);
      const [first] = context.getTransferSyntaxUids();
      context.setResult(constants.PresentationContextResult.Accept, first);
    }
    association.setMaxPduLength(262144);
    this.sendAssociationAccept();
  }

  cEchoRequest(request, callback) {
    const response = responses.CEchoResponse.fromRequest(request);
    response.setStatus(constants.Status.Success);
    callback(response);
  }

  cStoreRequest(request, callback) {
    const file = path.join(rest[0], `${request.getAffectedSopInstanceUid()}.dcm`);
    request.getDataset().toFile(file);
    const response = responses.CStoreResponse.fromRequest(request);
    response.setStatus(constants.Status.Success);
    callback(response);
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

if (command === 'serve') {
  const server = new Server(Writer);
  server.on('networkError', (error) => console.log('network error', error.message));
  server.listen(Number(port));
} else if (command === 'echo') {
  call([new requests.CEchoRequest()]);
} else {
  const list = rest.map((file) => new requests.CStoreRequest(file));
  const proposed = new Map();
  list.forEach((request, index) => {
    const pair = [request.getAffectedSopClassUid(), transferSyntaxOf(rest[index])];
    proposed.set(pair.join(), pair);
  });
  call(list, [...proposed.values()]);
}
