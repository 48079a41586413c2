import { portHooks } from "../vcpu/io";
import { PortDevice } from "../vcpu/ports";

const UART_PORTS: u32 = 8;

/** Ports at which the guest finds nothing, as where no device decodes them: all ones, writes ignored. */
class AbsentPorts extends PortDevice {
  read(_port: u32, width: u32): u32 {
    return width == 4 ? 0xffff_ffff : width == 2 ? 0xffff : 0xff;
  }
  write(_port: u32, _width: u32, _value: u32): void {
    // nothing is there
  }
}

/** Keeps the guest off the log's UART. */
export function reserveLogPort(port: u32): void {
  portHooks.add(port, UART_PORTS, new AbsentPorts());
}
