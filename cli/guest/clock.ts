/** What has passed: in seconds, or in whatever else is counted. */
export type Clock = () => Promise<number>;

export const wallClock: Clock = () => Promise.resolve(performance.now() / 1000);
