/**
 * The browser's own recogniser of speech, where it has one.
 *
 * Most browsers send what they hear to their maker's service. That is theirs to do and the person's
 * to know: whoever calls this has asked before.
 */
import type { Recognise } from '../page.ts';

type Recognition = {
  lang: string;
  start: () => void;
  stop: () => void;
  onresult: ((event: { results: ArrayLike<ArrayLike<{ transcript: string }>> }) => void) | null;
  onend: (() => void) | null;
  onerror: ((event: { error: string }) => void) | null;
};

/** Undefined when this browser cannot. */
export const recognise: Recognise | undefined = recogniser();

function recogniser(): Recognise | undefined {
  const { SpeechRecognition, webkitSpeechRecognition } = window as unknown as Record<
    string,
    (new () => Recognition) | undefined
  >;
  const Found = SpeechRecognition ?? webkitSpeechRecognition;
  if (!Found) return undefined;
  return (language) => {
    const recognition = new Found();
    recognition.lang = language === 'zh' ? 'zh-CN' : 'en-GB';
    const sentence = new Promise<string | undefined>((done) => {
      recognition.onresult = ({ results }) => done(results[0]?.[0]?.transcript);
      recognition.onerror = () => done(undefined);
      recognition.onend = () => done(undefined);
    });
    recognition.start();
    return { sentence, stop: () => recognition.stop() };
  };
}
