//! Signals to processes that this one has started.

use std::process::Child;

/// Asks a child to end, by SIGTERM. One that has been waited for is left alone.
pub fn terminate(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let Ok(process) = libc::pid_t::try_from(child.id()) else {
        return;
    };
    // SAFETY: a call without pointers. The number is that of our child, which nobody has waited for: so it is no other's.
    unsafe { libc::kill(process, libc::SIGTERM) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    #[test]
    fn a_child_is_told_to_end() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("a child");
        terminate(&mut child);
        let status = child.wait().expect("its end");
        assert_eq!(status.signal(), Some(libc::SIGTERM));
        terminate(&mut child);
    }
}
