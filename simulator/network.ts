/**
 * The network of a world: links to its broker and HTTP calls between its hosts, over ways that
 * somebody cuts, slows and mends.
 */
import type { Connect, Http, Timers } from '../src/platform.ts';
import { type Serve, createCalls } from './calls.ts';
import type { Chance } from './chance.ts';
import { createLinks } from './links.ts';
import { type Attached, type NetworkSight, type Weather, createWays } from './ways.ts';

/** What a program does with its network. */
export type NetworkPorts = Readonly<{ connect: Connect; http: Http; serve: Serve }>;

export type Network = Readonly<{
  /** The ports for one life of a program on a host, which has power from now on. */
  attach: (host: string, life: Attached) => NetworkPorts;
  /**
   * All lives on a host are over: its system ends their connections when they were killed; without
   * power nobody is told.
   */
  end: (host: string, how: 'killed' | 'power cut') => void;
  /** Begins a trouble; the returned function ends it. */
  strike: (weather: Weather) => () => void;
  /** The broker is away for so long and has forgotten everything, wills included. */
  restartBroker: (downMs: number) => void;
  /** Somebody inside the broker hands these very bytes to all who listen to the topic. */
  insert: (topic: string, payload: Uint8Array) => void;
}>;

/** The host of the broker, for URLs: mqtt://broker:1883. */
export const BROKER_HOST = 'broker';

export function createNetwork(
  options: Readonly<{
    chance: Chance;
    timeline: Readonly<{ nowMs: () => number; after: Timers['after'] }>;
    observe?: (sight: NetworkSight) => void;
    /** Without it the bridge is let in with any password. */
    bridgePassword?: string;
  }>,
): Network {
  const { chance, timeline, observe = () => {} } = options;
  const { nowMs, after } = timeline;
  const ways = createWays({ chance, nowMs, after, observe });
  const links = createLinks(ways, BROKER_HOST, options.bridgePassword);
  const calls = createCalls(ways);

  return Object.freeze({
    attach(host: string, life: Attached) {
      ways.setPower(host, 'on');
      return Object.freeze({
        connect: links.connectFrom(host, life),
        http: calls.httpFrom(host, life),
        serve: calls.serveAt(host, life),
      });
    },
    end(host: string, how: 'killed' | 'power cut') {
      if (how === 'power cut') ways.setPower(host, 'off');
      links.end(host, how);
      calls.end(host, how);
    },
    strike(weather: Weather) {
      const end = ways.strike(weather);
      links.wayChanged();
      return () => {
        end();
        links.wayChanged();
      };
    },
    restartBroker: links.restartBroker,
    insert: links.insert,
  });
}
