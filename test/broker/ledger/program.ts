/** The ledger as a child process, for tests that kill it: options as JSON in the first argument. */
import { startLedger } from '../../../broker/ledger/main.ts';

await startLedger(JSON.parse(process.argv[2]!), (line) => process.stdout.write(`${line}\n`));
