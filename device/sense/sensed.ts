/** What a person did, before anybody has thought about it: the input of the straight line. */
export type Sensed =
  /** Typed, or from a speech recogniser, which may name the recording for a matcher of voices. */
  | Readonly<{ kind: 'utterance'; text: string; recording?: string }>
  /** A tapped tag's whole NDEF message. */
  | Readonly<{ kind: 'tag'; message: Uint8Array }>
  /** A link typed by a reader of tags or codes that acts as a keyboard. */
  | Readonly<{ kind: 'link'; text: string }>
  /** A picture that the person looks at, PNG. */
  | Readonly<{ kind: 'picture'; png: Uint8Array }>
  /** A physical act on this device: temple tap, button. */
  | Readonly<{ kind: 'press' }>
  /**
   * The device's PIN, whole, from its own keys or touch pad: whoever drives them collects the
   * digits. It never comes as an utterance.
   */
  | Readonly<{ kind: 'pin'; digits: string }>
  /** Put on, taken off, parted from what it is paired with. Without that sense a device is on. */
  | Readonly<{ kind: 'worn'; how: 'on' | 'off' | 'unpaired' }>;

/** What a tag or code turned out to hold. Nothing of it is believed before it is verified. */
export type Pointer =
  | Readonly<{ kind: 'order'; envelope: Uint8Array }>
  /** An unsigned sticker: it only points at a payee of the directory. */
  | Readonly<{ kind: 'payee'; payee: string; amount: string | undefined }>
  /** A payer's static tag: it only identifies, and says what may be collected under. */
  | Readonly<{ kind: 'payer'; mandate: string }>
  | Readonly<{ kind: 'foreign' }>;
