/**
 * Every limit of the system, with its unit and its reason, and how they relate.
 *
 * Sizes are what a verifier accepts, not what is usual (PROTOCOL.md has the budgets). All times are
 * milliseconds unless the name says otherwise. The assertions at the end are part of the design.
 */
import assert from 'node:assert/strict';

/** Longest envelope of any kind that is looked at at all: a mandate with some fifty payees. */
export const ENVELOPE_BYTES_MAX = 4096;
/** Deepest nesting of CBOR: envelope 1, payload map 1, list 1, entry 1, and room to grow. */
export const CBOR_DEPTH_MAX = 8;
/** Most entries of one CBOR array or map. */
export const CBOR_ENTRIES_MAX = 256;
/** Integers stay exact in every language (2^53 − 1). */
export const CBOR_INTEGER_MAX = Number.MAX_SAFE_INTEGER;

/** Map keys are field numbers. */
export const CBOR_KEY_MAX = 0xffff;

/** A payee, terminal or device name; also a level of an MQTT topic. */
export const NAME_BYTES_MAX = 64;
/** A display name, a line of an order, a sentence of a proposal: what one screen can show. */
export const TEXT_BYTES_MAX = 160;
/** Funding and backend references are opaque to us (Antom allows 64 characters). */
export const REFERENCE_BYTES_MAX = 64;

export const WINDOWS_MAX = 8;
/** A window that is to limit amounts alone gets this count: nobody pays a million times. */
export const COUNT_UNLIMITED = 999_999;
export const SCOPES_MAX = 64;
export const BANDS_MAX = 8;
export const ORDER_LINES_MAX = 32;
export const CHAIN_DEPTH_MAX = 3;

/** A configuration file. */
export const CONFIG_BYTES_MAX = 65_536;

/** A passphrase of a key file: PKCS #8 slows a guess by 2048 rounds only, so length has to. */
export const PASSPHRASE_CHARS_MIN = 16;
/** The secret of a systemd credential that a device's key is encrypted under. */
export const CREDENTIAL_BYTES_MIN = 16;
export const CREDENTIAL_BYTES_MAX = 4096;
/** Digits of a device's PIN; and wrong tries, counted over restarts, before it is locked: one in
 *  2,000 is found by chance. */
export const PIN_DIGITS_MIN = 4;
export const PIN_DIGITS_MAX = 12;
export const PIN_TRIES = 5;
/** What a comparison costs (argon2id, one lane): some 25 ms of a desktop's CPU, and memory that a
 *  device of 80 MB has to spare. */
export const PIN_MEMORY_KIB = 12 * 1024;
export const PIN_PASSES = 3;
/** Recordings in a row that are not the owner's voice, counted over restarts, before a phrase is
 *  asked for no more: as many as for a PIN. */
export const SPEAKER_TRIES = 5;
/** Sayings of one question that are not its phrase: the recogniser may mishear twice. */
export const PHRASE_SAYINGS_MAX = 3;
/** A matcher judges some seconds of speech within this time, or does not judge them. */
export const SPEAKER_MATCH_MS = 5_000;
/** What names a recording: a path or a URL. */
export const RECORDING_CHARS_MAX = 256;
/** A PIN of a token: the longest that SoftHSM takes; a TPM takes 128. */
export const PIN_CHARS_MAX = 255;
/** Requests that wait for one key to sign: each of a device's two lines asks for one at a time. */
export const SEQUENCE_WAITING_MAX = 8;
/** A token that has not signed by then is away: a TPM needs some 5 to 200 ms. */
export const TOKEN_SIGN_MS = 15_000;
/** Objects of one id or label in a token: two halves of a few keys, and what power cuts left. */
export const TOKEN_OBJECTS_MAX = 64;
/** A Key statement holds this long unless its operator says otherwise. */
export const STATEMENT_DAYS = 365;
/** A code that pairs is guessed by nobody; the one that people compare fits a small screen. */
export const PAIRING_BYTES = 16;
export const SHORT_CODE_CHARS = 10;
/** Who wants to be enrolled is asked about for this long: a person stands beside the device. */
export const ENROLMENT_MS = 15 * 60_000;
/** What was approved is kept for a device that comes back, or for a root that is far away. */
export const ENROLMENT_KEEP_MS = 7 * 24 * 3_600_000;
/** Enrolments that wait at once, in all and from one address. */
export const ENROLMENTS_MAX = 64;
export const ENROLMENTS_PER_ADDRESS_MAX = 16;
/** Approved keys that wait for the root to sign: a day of opening a site, and not more to sign. */
export const ENROLMENTS_UNSIGNED_MAX = 256;
/** Terminals and mandates that one device is told of. */
export const BUNDLE_TERMINALS_MAX = 128;
export const BUNDLE_MANDATES_MAX = 64;
/** A device's certificate; renewed when two thirds of it are over, at whatever contact. */
export const CERTIFICATE_DAYS = 365;
/** How often a device that enrols asks, and how often while nobody answers. */
export const ENROL_ASK_MS = 2_000;
export const ENROL_ASK_MS_MAX = 15_000;
/** One question of it, over whatever network, and its answer: statements of a large site. */
export const ENROL_TIMEOUT_MS = 10_000;
export const ENROL_ANSWER_BYTES_MAX = 1024 * 1024;
/** How often a device asks for what has changed, and how long its start waits for the answer. */
export const CONTACT_MS = 3_600_000;
export const CONTACT_WAIT_MS = 3_000;
/** How often a device looks whether its succession goes on, when that waits for somebody else. */
export const SUCCESSION_MS = 60_000;
/** And while it waits for a bridge that is there. */
export const SUCCESSION_SOON_MS = 2_000;
/** A new terminal key signs this long after its statement was made: devices have it by then. */
export const TERMINAL_OVERLAP_S = 86_400;
/** How often a server looks for a newer certificate of its own. */
export const CERTIFY_MS = 24 * 3_600_000;
/** A new bridge key signs this long after its statement was made: devices have it by then. */
export const BRIDGE_OVERLAP_S = 86_400;

/** An utterance longer than this is not a payment. */
export const UTTERANCE_CHARS_MAX = 200;
/** A tapped NDEF message; type 4 tags hold up to 64 KiB, payment tags some hundred bytes. */
export const NDEF_BYTES_MAX = 8192;
export const NDEF_RECORDS_MAX = 16;
/** A camera frame or picture with a code: 20 MB file, 24 megapixels. */
export const PICTURE_BYTES_MAX = 20_000_000;
export const PICTURE_PIXELS_MAX = 24_000_000;

/** Requests of one key that may be in flight or lost between two that arrive. */
export const COUNTER_GAP_MAX = 64;

/** A request is valid this long after it was signed: confirmation is for now, not for later. */
export const REQUEST_VALID_S = 300;
/** No request may claim a longer life than this. */
export const REQUEST_VALID_S_MAX = 900;
/** An order stays payable this long: a queue at a counter, not a day. */
export const ORDER_VALID_S = 600;
/** What a QR code of version 40-M holds in byte mode (ISO 18004 Table 7): the link of an order. */
export const CODE_CHARS_MAX = 2331;
/** Clocks of honest devices differ by this much after a tick. */
export const CLOCK_SKEW_S = 60;

/** A device that may pay offline asks for its leases anew this often while it is online. */
export const LEASE_ASK_MS = 600_000;
/** And so long after the last receipt of what it had accepted: ticks tell time in whole seconds. */
export const LEASE_REFILL_MS = 2_000;
/**
 * A device's time holds this long without a tick: 33 h 20 min, in which a clock that Linux slews at
 * its most (500 ppm) goes wrong by CLOCK_SKEW_S.
 */
export const TIME_HOLDS_MS = 120_000_000;

/** A tick's nonce changes at every slot and is accepted for at least TICK_ACCEPT_MS. */
export const TICK_SLOT_MS = 30_000;
export const TICK_ACCEPT_MS = 120_000;
/** A device without a fresh tick asks again after this long, growing to the second figure. */
export const TICK_ASK_MS = 1_000;
export const TICK_ASK_MS_MAX = 15_000;
/** An answer to a boot that comes later than this after its question is not believed. */
export const TICK_ANSWER_MS = 10_000;
/** A device signs only under a nonce that will still be accepted when the request arrives. */
export const TICK_USE_MS = 90_000;

/** The person has this long to answer a confirmation. */
export const CONFIRM_MS = 20_000;
/** After the physical act the PIN is entered, or the phrase said, within this time, wrong tries and
 *  all. */
export const PROOF_MS = 60_000;
/** A payment whose key did not sign is asked about again this long: time to put a token back. */
export const KEPT_MS = 120_000;
/** A bill on a kiosk waits this long for somebody's tag. */
export const BILL_MS = 120_000;
/** What was said, or became of an order, stays on a screen this long: the longest sentence is read
 *  aloud in 12 s. What waits for somebody stays. */
export const SCREEN_REST_MS = 15_000;
/** Pages that show one device at once: its own, and somebody who looks after it. */
export const SCREENS_MAX = 4;
/** What a kiosk offers: more than this nobody finds by looking. */
export const CATALOGUE_MAX = 60;
/** How often the page of a device is told whether it is connected, if that has changed. */
export const SCREEN_LOOK_MS = 1_000;
/** Of the secret in the address of a page: nobody guesses it. */
export const GATE_SECRET_BYTES = 32;
/** A press this soon after the question cannot be its answer: nobody has read it yet. */
export const CONFIRM_READ_MS = 500;
/** After this long without a receipt the person is told "not confirmed yet". */
export const RECEIPT_PATIENCE_MS = 8_000;
/** Who leaves in the middle of a payment waits this long for its receipt: a person at a prompt. */
export const LEAVE_MS = 3_000;

/** The outbox sends the same bytes again after this long, growing to the second figure. */
export const RESEND_MS = 2_000;
export const RESEND_MS_MAX = 30_000;
/** Envelopes of one device in flight at once. */
export const OUTBOX_WINDOW = 32;
/** And beside them those that the bridge has taken, while a backend or a person owes the end. */
export const OUTBOX_TAKEN_MAX = 96;
/** Open entries that an outbox holds; a device that has more to say declines. */
export const OUTBOX_ENTRIES_MAX = 10_000;
/** No device sends an envelope for the first time, or again, after this age. */
export const RESEND_FOR_MS = 30 * 24 * 3_600_000;
/** KiB of the outbox that SQLite keeps in memory: what a payment touches, many times over. */
export const OUTBOX_CACHE_KIB = 256;
/** Receipts that a device shows at once, and looks through for what is left. */
export const RECEIPTS_SHOWN = 5;
export const RECEIPTS_SEARCHED = 20;
/** Bytes of finished entries are kept on the device this long, for "status" and "receipts". */
export const OUTBOX_KEEP_MS = 90 * 24 * 3_600_000;

/** The bridge remembers ids, counters and receipts at least this long after the final receipt. */
export const BRIDGE_KEEP_MS = 800 * 24 * 3_600_000;
/** How often the bridge looks for what it may forget. */
export const BRIDGE_FORGET_MS = 3_600_000;
/** Longest rolling window and longest gap of a mandate, seconds. */
export const ROLLING_S_MAX = 400 * 86_400;
/** Requests that a bridge works on at once; more are left to be sent again. */
export const BRIDGE_RUNS_MAX = 2_000;
/** Accepted requests of one key that may be open at once; what an honest device has on its way. */
export const RUNS_PER_KEY_MAX = 128;
/** Requests of before a restore that are barred at the backends at once. */
export const BARRING_MAX = 64;
/** Of these, those of one device: more are left to be sent again. */
export const BARRING_PER_DEVICE_MAX = 16;
/** How often a notification or a person's word is tried again when another word came first. */
export const WORD_LOOKS = 4;
/** Requests that a key may cancel before they were seen, within BRIDGE_KEEP_MS. */
export const TOMBSTONES_PER_KEY_MAX = 1_000;
/** How far a revoke may raise a payer's epoch above the highest that is in use. */
export const EPOCH_STEP_MAX = 1_000;
/** Child mandates of one parent. */
export const CHILDREN_MAX = 256;
/** Requests that the answer to a revoke names as still running. */
export const RUNNING_TOLD_MAX = 64;
/** Values (mandates, statements) that a store keeps decoded. */
export const DECODED_KEPT_MAX = 20_000;
/** A question of the operator's commands to a running bridge, and its answer (a dispute file). */
export const OPERATOR_QUESTION_BYTES_MAX = 64 * 1024;
export const OPERATOR_ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** A command that has not put its whole question by then is cut off. */
export const OPERATOR_SLOW_MS = 10_000;
/** Rows of one page that the operator's commands show. */
export const OPERATOR_PAGE_ROWS = 100;
/** A one-time link to a page: long enough to carry it to a phone, too short to lie around. */
export const LINK_MS = 10 * 60_000;
/** Links that wait to be opened, and people logged in, of one bridge. */
export const LINKS_MAX = 64;
export const SESSIONS_MAX = 1_024;
/** A login to a page ends with the working day. */
export const SESSION_MS = 12 * 3_600_000;
/** Codes of waiting devices, 50 bits each, that one wearer may try in this time. */
export const SHORT_CODE_TRIES = 60;
export const SHORT_CODE_MS = 60_000;
/** Phones of one person: each has a wallet key of its own, and a lost one is blocked. */
export const WALLETS_PER_PAYER_MAX = 8;
/** Devices and agents of one person: glasses, what they are charged beside, and a few old ones. */
export const DEVICES_PER_PAYER_MAX = 32;
/** Keys and mandates that a page shows of one person. */
export const PAGE_ROWS_MAX = 64;
/** How often the command looks for the end of a payment that a person has just resolved. */
export const RESOLVE_LOOKS = 20;
/** Rows that an audit reads before it lets payments go on. */
export const AUDIT_PAGE_ROWS = 256;
/** Differences, and open payments, that one audit names; the first ones tell what is wrong. */
export const AUDIT_LISTED_MAX = 100;
/** Questions in a row that a backend leaves unanswered before an audit stops asking it. */
export const AUDIT_UNANSWERED_MAX = 3;
/** Store operations waiting for the next group commit; more are refused with `unavailable`. */
export const STORE_QUEUE_MAX = 20_000;
/** Operations of one group commit. */
export const STORE_GROUP_MAX = 256;
/** Verification keys kept ready in memory (about 2 kB each). */
export const KEYS_KEPT_MAX = 20_000;
/** `bad_signature` answers per device and second; beyond it silence. */
export const BAD_ANSWERS_PER_S = 2;
/** And for all devices together: names are free, so a limit per name alone is none. */
export const BAD_ANSWERS_IN_ALL_PER_S = 50;

/** One attempt at the risk service, and how many. Ant's own answers within 80 ms. */
export const RISK_TIMEOUT_MS = 800;
export const RISK_ATTEMPTS = 2;
/**
 * Payments asked about at once, and how long one waits for its turn. A service that judges in 5 ms
 * is kept busy by a few; more would wait for a connection, and their time would be over there.
 */
export const RISK_CALLS_MAX = 32;
export const RISK_WAIT_MS = 10_000;
/** The risk service looks back this far, and keeps answers to repeat them, this long. */
export const RISK_WINDOW_MS = 3_600_000;
export const RISK_SHORT_WINDOW_MS = 600_000;
export const RISK_KEEP_MS = 30 * 24 * 3_600_000;
/** What is older is forgotten this often, so that one time never has much to delete. */
export const RISK_PRUNE_MS = 3_600_000;

/** One attempt at a backend; no answer by then is unknown. */
export const BACKEND_TIMEOUT_MS = 2_000;
/** Unknown is asked again after this long, growing to the second figure. */
export const RESOLVE_MS = 250;
export const RESOLVE_MS_MAX = 30_000;
/** Asked about for this long without a definite word, an authorisation is cancelled. */
export const RESOLVE_FOR_MS = 120_000;
/** The longest time for which a backend may accept a cancel; then a payment is a person's. */
export const CANCEL_FOR_MS_MAX = 7 * 24 * 3_600_000;
/** Backends that a payment may be tried at, one after the other. */
export const BACKENDS_MAX = 8;
/** Mandates of one key that are leased at once: the regulars of one kiosk. */
export const LEASES_PER_KEY_MAX = 64;
/** A run belongs to the bridge that works on it for this long, and is renewed while it does. */
export const CLAIM_MS = 30_000;
/** A hold is released when nobody captured it for this long (card schemes: about 7 days). */
export const HOLD_FOR_MS = 7 * 24 * 3_600_000;
/** How often the bridge looks for holds that are over and for runs that nobody works on. */
export const SWEEP_MS = 10_000;
/** Holds released, or runs taken over, in one sweep. */
export const SWEEP_MAX = 256;

/** A backend that was surely never reached for this long: the payment is refused, not charged. */
export const UNSENT_FOR_MS = 10_000;

/** Bytes of one HTTP message between the bridge and its services. */
export const HTTP_BYTES_MAX = 64 * 1024;
/** IANA zones whose formatter is kept (there are some 600; a bridge sees a few). */
export const ZONES_KEPT_MAX = 512;

/** How old a signed call between bridge and services may be. */
export const HTTP_SKEW_MS = 60_000;
/** Nonces of signed calls that a service remembers to refuse a replay: 60 s at 6,000 calls/s. */
export const HTTP_NONCES_MAX = 400_000;
/** A caller that has not finished its headers and body by then is cut off (slow loris). */
export const HTTP_SLOW_MS = 10_000;
/** Open connections of one HTTP server, and of one client to one service. */
export const HTTP_CONNECTIONS_MAX = 1_024;
export const HTTP_CLIENT_CONNECTIONS_MAX = 64;
/** An idle connection is kept this long by a client, and longer by a server, so that the client
 *  closes first and no call is written into a closing connection. */
export const HTTP_IDLE_MS = 4_000;
export const HTTP_SERVER_IDLE_MS = 15_000;
/** A shared secret of signed calls has at least the strength of its SHA-256. */
export const HTTP_SECRET_BYTES_MIN = 32;
/** Who has left this much of a feed unread is cut off and begins anew: some thousand events. */
export const FEED_BYTES_MAX = 4 * 1024 * 1024;
/** Rows of one page of a service's list: with the longest names, all escaped, 128 rows stay below
 *  HTTP_BYTES_MAX. */
export const HTTP_PAGE_ROWS = 128;

/** SQLite: how long an opening waits for the program that still holds the file. */
export const SQLITE_BUSY_MS = 1_000;
/** SQLite: pages of the write-ahead log before it is moved into the file (8 MiB at 4 KiB). */
export const SQLITE_CHECKPOINT_PAGES = 2_000;
/** A disk whose syncs usually take longer than this is waited for in a worker: in that time the
 *  bridge verifies some fifteen signatures, and a thread costs a twentieth of it. */
export const SQLITE_SYNC_BLOCK_MS = 1;
/** SQLite: different SQL texts of one program; more means that SQL is made out of values. */
export const SQLITE_STATEMENTS_MAX = 256;
/** SQLite: a file up to this size is read through for damage when it is opened (under 1 s). */
export const SQLITE_CHECK_BYTES_MAX = 256 * 1024 * 1024;

/** All money that ever entered one ledger, in minor units: sums stay within SQLite's 64 bits. */
export const LEDGER_TOTAL_MAX = 2n ** 62n;
/** Notices of the ledger that wait to be told; more are dropped, for the bridge asks anyway. */
export const NOTICES_MAX = 10_000;
/** Notices under way at once, and how long one may take. */
export const NOTICES_AT_ONCE = 16;
export const NOTICE_TIMEOUT_MS = 2_000;
/** A notice that was not taken is told again after this long, growing to the second figure. */
export const NOTICE_MS = 500;
export const NOTICE_MS_MAX = 60_000;
/** Then it is given up: after some 30 s the bridge has long asked by itself. */
export const NOTICE_ATTEMPTS = 7;
/** The simulation's `slow` and `settles later`: long after RECEIPT_PATIENCE_MS. */
export const SIM_LATE_MS = 12_000;
/** Worlds that are run to shrink one failure: some 200 entries, several rounds, a minute or two. */
export const SHRINK_RUNS_MAX = 1_500;
/** Differences that one check of the books reports; the first ones tell what is wrong. */
export const LEDGER_DIFFERENCES_MAX = 100;

/** The site's own certificate authority: nobody wants to give every device a new one before. */
export const CA_DAYS = 7_305;
/** A client or server certificate; the longest that makes sense within those twenty years. */
export const CERTIFICATE_DAYS_MAX = 3_660;
/** Certificates begin this long ago: a board without a battery for its clock wakes up in the past,
 *  and must believe the broker to learn the time. With 397 days ahead browsers still take them. */
export const CERTIFICATE_BACKDATE_DAYS = 400;
/** Names and addresses of one server certificate. */
export const CERTIFICATE_HOSTS_MAX = 16;
/** RFC 5280 §4.1.2.2: at most 20 octets; RFC 6818 and the CA/B Forum want 64 bits of chance. */
export const CERTIFICATE_SERIAL_BYTES = 16;

/** MQTT: keep-alive, and the pause before the next attempt to connect. */
export const MQTT_KEEPALIVE_S = 30;
export const MQTT_RECONNECT_MS = 500;
export const MQTT_CONNECT_MS = 10_000;
/** Without a word of the bridge for this long a device asks for one: a tick and a half. */
export const LINK_SILENT_MS = 45_000;
/** And makes a new connection after this long, since a half-open one looks alive; growing to the
 *  second figure, because it may also be the bridge that is away. */
export const LINK_RENEW_MS = 75_000;
export const LINK_RENEW_MS_MAX = 900_000;
/** A link that is closed gets this long to hand over what it was given last. */
export const LINK_CLOSE_MS = 1_000;
/** MQTT.js publishes in flight per connection; past it the oldest is given up, not queued. */
export const MQTT_INFLIGHT_MAX = 4_096;

/** What a device says of itself: bytes, characters of one text, entries of one list. */
export const PRESENCE_BYTES_MAX = 2_048;
export const PRESENCE_TEXT_CHARS_MAX = 64;
export const PRESENCE_LIST_MAX = 16;
/** It is said again at most this often, when more or fewer payments wait than it said. */
export const PRESENCE_MS = 60_000;
/** Starts of a device's program that the bridge remembers. */
export const SPOKE_MAX = 8;
/** Messages of one device about itself that the bridge takes in a second: two that take turns. */
export const STATES_PER_S = 16;
/** Acts on a key that the operator is shown. */
export const KEY_ACTS_SHOWN = 8;
/** Session numbers reserved by one write to the disk: half a minute of attempts to connect. */
export const SESSIONS_RESERVED = 64;
/** An update that was let in has this long to restart the program; how often it may ask. */
export const UPDATE_HOLD_MS = 60_000;
export const UPDATE_ASK_MS = 1_000;

/** A word to the service manager takes at most this long, and life is told this often. */
export const SUPERVISOR_MS = 5_000;
export const WATCHDOG_MS = 15_000;

/** A site's broker. Its certificate and the bridge's last until somebody would forget how; a run of
 *  `saytap broker config` in the last year renews them. One issued by hand lasts two years. */
export const BROKER_CERTIFICATE_DAYS = 3_650;
export const BROKER_RENEW_DAYS = 365;
export const HAND_CERTIFICATE_DAYS = 730;
/** MQTT packets that a broker reads: the longest envelope with its topic, or a will twice. */
export const BROKER_PACKET_BYTES_MAX = 2 * ENVELOPE_BYTES_MAX;
/** Messages that wait for one client; beyond them the broker drops, and devices send again. */
export const BROKER_QUEUE_MAX = 10_000;

/** The doctor: one check, which may connect, have a slow token sign, and wait for the bridge. */
export const DOCTOR_CHECK_MS = 40_000;
/** Fewer free bytes than this are too few: a store grows, and an update needs twice its size. */
export const DOCTOR_FREE_BYTES_MIN = 100 * 1024 * 1024;
/** What ends within this many days is wrong already: somebody has to come by. */
export const DOCTOR_DAYS_MIN = 14;
/** An entry that waits for longer than this is worth a look, even where the link often fails. */
export const DOCTOR_WAITING_MS = 24 * 3_600_000;
/** A store up to this size is copied to be looked at; a full outbox has some 40 MB. */
export const DOCTOR_COPY_BYTES_MAX = 64 * 1024 * 1024;
/** `saytap diag`: lines of the journal, and characters of one text of the archive. */
export const DIAG_LOG_LINES = 2_000;
export const DIAG_FILE_CHARS_MAX = 1024 * 1024;
/** What another program says to the doctor: in how long, and how much of it. */
export const DOCTOR_PROGRAM_MS = 5_000;
export const DOCTOR_PROGRAM_BYTES_MAX = 1024 * 1024;

/** A scenario file: its characters, how deep it nests, its steps, and each kind of its cast. */
export const SCENARIO_BYTES_MAX = 262_144;
export const SCENARIO_DEPTH_MAX = 12;
export const SCENARIO_STEPS_MAX = 2_000;
export const SCENARIO_CAST_MAX = 64;
/** Between two steps of which nothing is said people take a breath, so that both do not meet. */
export const SCENARIO_BREATH_MS = 300;
/** Real programs: how old a day may become, and how often it is looked whether something is so. */
export const SCENARIO_REAL_MS_MAX = 5 * 60_000;
export const SCENARIO_LOOK_MS = 25;
/** Of more faults in one file the first ones are told. */
export const SCENARIO_FAULTS_SHOWN = 50;
/** An expectation may come true so much later, unless it says how long; and at most. */
export const SCENARIO_WITHIN_MS = 15_000;
export const SCENARIO_WITHIN_MS_MAX = 48 * 3_600_000;

/** `saytap storm`: processes at once, and seeds that one of them gets at a time. */
export const STORM_JOBS_MAX = 256;
export const STORM_CHUNK = 250;
/** Events of one storm; the most that was seen in thousands of seeds is some 25,000. */
export const STORM_EVENTS_MAX = 250_000;
/** A plan that somebody saved: its characters, its acts and its faults, and of whom how many. */
export const STORM_PLAN_BYTES_MAX = 1024 * 1024;
export const STORM_ENTRIES_MAX = 2_000;
export const STORM_CAST_MAX = 64;
/** It is over within a day; a clock jumps by forty years at most, or drifts as the cheapest do. */
export const STORM_MS_MAX = 24 * 3_600_000;
export const STORM_JUMP_MS_MAX = 40 * 365 * 86_400_000;
export const STORM_DRIFT_PPM_MAX = 500;
/** An amount in it, minor units: a million yuan, far more than any of its mandates allows. */
export const STORM_MINOR_MAX = 100_000_000;
/** What a process that runs worlds remembers of signatures: those of some worlds, some 20 MB. */
export const REMEMBERED_SIGNATURES_MAX = 30_000;
export const REMEMBERED_KEYS_MAX = 3_000;

/** `saytap fleet`: a client's address has some 28,000 ports for one broker, and the bridge keeps
 *  KEYS_KEPT_MAX keys ready. */
export const FLEET_DEVICES_MAX = 20_000;
export const FLEET_RATE_MAX = 20_000;
export const FLEET_SECONDS_MAX = 86_400;
/** Payments of one run: 17 bytes each are kept to be compared with the books. */
export const FLEET_PAYMENTS_MAX = 5_000_000;
export const FLEET_WORKERS_MAX = 16;
/** Connections that are begun in a second, and those of one worker that are not ready yet: a broker
 *  takes some 1,000 to 2,000 in a second, and a crowd at its door would measure the door. */
export const FLEET_CONNECTS_PER_S = 500;
export const FLEET_CONNECTING_MAX = 200;
/** Until all devices are ready there may be no progress for this long. */
export const FLEET_STUCK_MS = 30_000;
/** A worker tells what became of its payments this often; processes are looked at for whether they
 *  wait for the disk, and lines are written where no screen can be redrawn. */
export const FLEET_TOLD_MS = 250;
export const FLEET_LOOK_MS = 50;
export const FLEET_LINE_MS = 5_000;
/** After the last payment is due, receipts are waited for this long. */
export const FLEET_PATIENCE_MS = 30_000;
/** The rate was carried when by this long after the load's end almost all had their receipt. */
export const FLEET_SETTLE_MS = 1_000;
/** Points of a timeline: a longer load gets longer intervals. */
export const FLEET_POINTS_MAX = 1_800;
/** Files that a process has open beside its connections. */
export const FLEET_FILES_SPARE = 128;
/** Enrolled at once, so that one commit holds many. */
export const FLEET_ENROL_AT_ONCE = 500;
/** An hour: the longest time that a histogram tells from others. */
export const HISTOGRAM_US_MAX = 3_600_000_000;
/** Payments that the simulator's page shows, and messages of one: beyond, how it ended is kept. */
export const PIPELINE_PAYMENTS_MAX = 100;
export const PIPELINE_HOPS_MAX = 60;
/** Rows of the statement on that page, newest first. */
export const STATEMENT_ROWS_MAX = 50;
/** Pages of the simulator that listen at once; how often devices and tally are looked at for them,
 *  and how often the bridge is asked for what nothing tells of. */
export const SIM_PAGES_MAX = 8;
export const SIM_LOOK_MS = 500;
export const SIM_ASK_MS = 5_000;
/** A question with a picture in it; a phone's photograph is scaled down before it is sent. */
export const SIM_BYTES_MAX = 8 * 1024 * 1024;
/** Lines of what was narrated, for a page that comes later. */
export const SIM_LINES_MAX = 200;
/** Devices of the simulator, which all run in one process and on one page. */
export const SIM_DEVICES_MAX = 12;
/** The simulator's page: how long a message takes on a slow link, at most what one is late that
 *  others overtake, and when a second copy of one comes. */
export const TROUBLE_SLOW_MS = 1_500;
export const TROUBLE_LATE_MS = 2_500;
export const TROUBLE_AGAIN_MS = 400;
/** Its usual share of the messages or calls that are lost, late or told twice. */
export const TROUBLE_SHARE = 0.4;
/** Messages that one link holds back; more than that are lost. */
export const TROUBLE_HELD_MAX = 1_000;
/** What a clock is set back by: as after a flat battery, or by a wrong time zone. */
export const TROUBLE_CLOCK_MS = 2 * 3_600_000;
/** A program that was killed is started again after this, and a broker is back after that. */
export const TROUBLE_DOWN_MS = 2_000;
export const TROUBLE_BROKER_MS = 1_000;
/** A service that is slow answers so long after the bridge has given up waiting. */
export const TROUBLE_OVER_MS = 500;

/** A trace file; how long it may last; how long a replay waits for the last word after the end. */
export const TRACE_BYTES_MAX = 16 * 1024 * 1024;
export const TRACE_MS_MAX = 400 * 86_400_000;
export const TRACE_SETTLE_MS = 120_000;

/** A program that says nothing for this long after its start has failed (a Pi is slow). */
export const CHILD_START_MS = 60_000;
/** Devices of a fresh start reach their bridge within this time. */
export const READY_MS = 30_000;
/** A program that was told to stop finishes what it holds within this time. */
export const STOP_MS = 5_000;

assert(BRIDGE_KEEP_MS > RESEND_FOR_MS + REQUEST_VALID_S_MAX * 1000, 'ids outlive every resend');
assert(BRIDGE_KEEP_MS > ROLLING_S_MAX * 1000, 'no reservation is forgotten that still counts');
assert(RISK_KEEP_MS > CANCEL_FOR_MS_MAX, 'a decision is repeatable as long as a payment is open');
assert(BRIDGE_KEEP_MS > HOLD_FOR_MS + CANCEL_FOR_MS_MAX, 'no hold outlives what is known of it');
assert(RUNS_PER_KEY_MAX >= OUTBOX_WINDOW + OUTBOX_TAKEN_MAX, 'no honest device is refused so');
assert(SWEEP_MS < CLAIM_MS);
assert(SIM_LATE_MS > RECEIPT_PATIENCE_MS, 'slow enough that the person is told to wait');
assert(TICK_USE_MS < TICK_ACCEPT_MS, 'a nonce is still accepted when the request arrives');
assert(TOKEN_SIGN_MS < TICK_ACCEPT_MS - TICK_USE_MS, 'nor is it too old by the slowest signature');
assert(TICK_SLOT_MS < LINK_SILENT_MS, 'a device that hears every tick does not ask');
assert(MQTT_CONNECT_MS + TOKEN_SIGN_MS + TICK_ANSWER_MS < DOCTOR_CHECK_MS, 'slow is not late');
assert(PHRASE_SAYINGS_MAX * SPEAKER_MATCH_MS < PROOF_MS, 'a matcher leaves time to speak');
assert(LINK_RENEW_MS < TICK_USE_MS, 'a half-open link is replaced while payments are possible');
assert(TICK_SLOT_MS < TICK_USE_MS, 'a device that hears every tick always has a usable nonce');
assert(REQUEST_VALID_S <= REQUEST_VALID_S_MAX);
assert((TIME_HOLDS_MS * 500) / 1_000_000 <= CLOCK_SKEW_S * 1000, 'it drifts within the skew');
assert(OUTBOX_WINDOW < COUNTER_GAP_MAX, 'an honest device never looks like a clone');
assert(WALLETS_PER_PAYER_MAX + DEVICES_PER_PAYER_MAX <= PAGE_ROWS_MAX, 'a person sees all');
assert(STORE_GROUP_MAX <= STORE_QUEUE_MAX);
assert(HTTP_IDLE_MS < HTTP_SERVER_IDLE_MS, 'the client closes an idle connection first');
assert(FLEET_DEVICES_MAX <= KEYS_KEPT_MAX, 'a bridge under a fleet loads no key twice');
assert(FLEET_LOOK_MS < FLEET_TOLD_MS);
