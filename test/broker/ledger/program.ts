/** The ledger as a child process of its kill test, on the options in its argument. */
import { startLedger } from '../../../broker/ledger/main.ts';

const options: unknown = JSON.parse(process.argv[2]!);
const ledger = await startLedger(options, (line) => process.stdout.write(`${line}\n`));
process.once('SIGTERM', () => void ledger.stop());
