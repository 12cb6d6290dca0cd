/** The version of these programs; a bundle carries it inside. */
import manifest from '../package.json' with { type: 'json' };

export const PROGRAM_VERSION: string = manifest.version;
