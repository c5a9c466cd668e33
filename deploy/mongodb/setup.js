// Run by mongosh: makes the replica set and the user that Kalpana signs in as. May run again.
const fs = require('fs');
const secret = (name) => fs.readFileSync(`/run/secrets/${name}`, 'utf8').split('\n')[0];
const uri = `mongodb://root:${encodeURIComponent(secret('root-password'))}@127.0.0.1/?directConnection=true`;
const admin = connect(uri).getSiblingDB('admin');

try {
  admin.adminCommand({ replSetGetStatus: 1 });
} catch (error) {
  if (error.codeName !== 'NotYetInitialized') throw error;
  const host = `${process.env.KALPANA_MONGODB_HOST}:27017`;
  admin.adminCommand({ replSetInitiate: { _id: 'rs0', members: [{ _id: 0, host }] } });
}
while (!admin.hello().isWritablePrimary) sleep(200);

const user = {
  pwd: secret('kalpana-password'),
  roles: [{ role: 'readWrite', db: 'kalpana' }],
  mechanisms: ['SCRAM-SHA-256'],
};
if (admin.getUser('kalpana')) admin.updateUser('kalpana', user);
else admin.createUser({ user: 'kalpana', ...user });
print('the replica set rs0 is up, and the user kalpana may use the database kalpana');
