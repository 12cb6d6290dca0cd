/** How requests and receipts are called in a story. */
import { REASONS } from '../../src/errors.ts';
import { formatMoney } from '../../src/money.ts';
import type { Receipt } from '../../src/objects/receipt.ts';
import type { Request } from '../../src/objects/request.ts';

/** The beginning of an id: enough for people to compare. */
export function short(id: string): string {
  return id.slice(0, 8);
}

export function money({ amount }: Request): string {
  return amount ? formatMoney(amount, 'en') : 'nothing';
}

/** "8c2f91aa (pay 12.50 yuan)" */
export function called({ id, request }: Readonly<{ id: string; request: Request }>): string {
  return `${short(id)} (${request.action} ${money(request)})`;
}

/** "refused (backend_declined)", "captured (12.50 yuan)" */
export function described({ outcome, reason, amount }: Receipt): string {
  const [name] = Object.entries(REASONS).find(([, code]) => code === reason) ?? [];
  const detail = name ?? (amount && formatMoney(amount, 'en'));
  return detail === undefined ? outcome : `${outcome} (${detail})`;
}
