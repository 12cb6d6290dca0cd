/**
 * Pictures for glasses to look at, as base64url of a PNG, because a PNG is what their camera
 * delivers: a file, a frame of the webcam, or the code on a kiosk's screen.
 */
import { PICTURE_PIXELS_MAX } from '../../src/limits.ts';
import { makeCode, QUIET_MODULES } from '../../device/surface/code.ts';

/** Rejects for what is no picture. */
export async function pictureOf(file: Blob): Promise<string> {
  const image = await createImageBitmap(file);
  return drawn(image, image.width, image.height);
}

export function frameOf(video: HTMLVideoElement): string {
  return drawn(video, video.videoWidth, video.videoHeight);
}

/** A code as it is seen on a screen. */
export function codeOf(uri: string): string {
  const code = makeCode(uri);
  const side = (code.size + 2 * QUIET_MODULES) * PIXELS;
  const { canvas, context } = blank(side, side);
  context.fillStyle = '#fff';
  context.fillRect(0, 0, side, side);
  context.fillStyle = '#000';
  for (let y = 0; y < code.size; y++) {
    for (let x = 0; x < code.size; x++) {
      if (!code.isDark(x, y)) continue;
      context.fillRect((x + QUIET_MODULES) * PIXELS, (y + QUIET_MODULES) * PIXELS, PIXELS, PIXELS);
    }
  }
  return encoded(canvas);
}

/** Of a module of a code. */
const PIXELS = 5;
/** Enough to read a code across a table; the device refuses more than PICTURE_PIXELS_MAX. */
const SIDE_MAX = Math.min(1_600, Math.floor(Math.sqrt(PICTURE_PIXELS_MAX)));

function drawn(source: CanvasImageSource, width: number, height: number): string {
  const scale = Math.min(1, SIDE_MAX / Math.max(width, height));
  const { canvas, context } = blank(Math.round(width * scale), Math.round(height * scale));
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return encoded(canvas);
}

function blank(width: number, height: number) {
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  return { canvas, context: canvas.getContext('2d')! };
}

function encoded(canvas: HTMLCanvasElement): string {
  const url = canvas.toDataURL('image/png');
  const base64 = url.slice(url.indexOf(',') + 1);
  return base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}
