export function attachDevices(): void {}
