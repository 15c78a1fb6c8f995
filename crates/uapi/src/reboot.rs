//! `reboot`(2).

consts! {
    /// Magic numbers and commands of `reboot`(2).
    pub REBOOT: u32 {
        LINUX_REBOOT_MAGIC1 = 0xfee1dead,
        LINUX_REBOOT_MAGIC2 = 0x28121969,
        LINUX_REBOOT_MAGIC2A = 0x5121996,
        LINUX_REBOOT_MAGIC2B = 0x16041998,
        LINUX_REBOOT_MAGIC2C = 0x20112000,
        LINUX_REBOOT_CMD_RESTART = 0x1234567,
        LINUX_REBOOT_CMD_HALT = 0xcdef0123,
        LINUX_REBOOT_CMD_CAD_ON = 0x89abcdef,
        LINUX_REBOOT_CMD_CAD_OFF = 0x0,
        LINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc,
        LINUX_REBOOT_CMD_RESTART2 = 0xa1b2c3d4,
    }
}
