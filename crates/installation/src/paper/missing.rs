//! What there is where a printer's device is missing: USB printers come under another number,
//! in other hands, or in a class of their maker's.

use std::fs;
use std::path::{Path, PathBuf};

/// The name that the package's udev rule gives a USB printer, whatever its number.
const STABLE: &str = "/dev/torment-nexus-printer";

/// Says that `device` is missing, what was found, and after a semicolon the next step. The
/// system's files are below `root`.
pub(super) fn told(device: &Path, root: &Path) -> String {
    let is_usb = device.starts_with("/dev/usb") || device == Path::new(STABLE);
    let (found, next) = match is_usb.then(|| found(root)).flatten() {
        Some(found) => found,
        None => (String::new(), "switch it on, plug it in; or run hardware/setup and restart".to_owned()),
    };
    format!("there is no printer {device:?}{found}; {next}")
}

fn found(root: &Path) -> Option<(String, String)> {
    let names = list(&root.join("dev/usb")).into_iter().map(|node| name(&node));
    let nodes = names.filter(|name| name.starts_with("lp")).map(|name| format!("/dev/usb/{name}"));
    let stable = root.join(&STABLE[1..]).exists().then(|| STABLE.to_owned());
    let there: Vec<_> = stable.into_iter().chain(nodes).collect();
    if let Some(first) = there.first() {
        return Some((format!(", but {there:?}"), format!("give --printer {first}")));
    }
    // An interface of this class of USB: a printer's, or the vendor's own.
    let of = |class| {
        let interfaces = list(&root.join("sys/bus/usb/devices"));
        interfaces.into_iter().find(|each| text(each, "bInterfaceClass").as_deref() == Some(class))
    };
    if let Some(printer) = of("07") {
        let driver = fs::read_link(printer.join("driver")).map(|driver| name(&driver)).unwrap_or_default();
        let (who, next) = match driver.as_str() {
            "" => ("no driver has taken".to_owned(), "sudo modprobe usblp, and plug it in again"),
            "usbfs" => (
                "another program holds".to_owned(),
                "sudo systemctl disable --now cups ipp-usb, and plug it in again",
            ),
            driver => (format!("the driver {driver} has"), "look at dmesg, and plug it in again"),
        };
        return Some((format!(": {who} the USB printer {}", product(&printer)), next.to_owned()));
    }
    let vendors = product(&of("ff")?);
    let next = "if that is the printer, set it to the USB printer class (its switches, or its maker's \
                program), or use its serial port";
    Some((format!(", but in a class of its vendor's {vendors}"), next.to_owned()))
}

/// The name of the USB device that an interface, such as 1-1:1.0, is of; and its ids.
fn product(interface: &Path) -> String {
    let device = PathBuf::from(interface.to_string_lossy().split(':').next().unwrap_or_default());
    let [product, vendor, id] =
        ["product", "idVendor", "idProduct"].map(|file| text(&device, file).unwrap_or_default());
    format!("{product:?} ({vendor}:{id})")
}

fn text(folder: &Path, file: &str) -> Option<String> {
    Some(fs::read_to_string(folder.join(file)).ok()?.trim().to_owned())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|each| each.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// What is told of /dev/usb/lp0 with these files, and an interface of a USB device of this
    /// class that has this driver.
    fn told_with(files: &[&str], class: &str, driver: &str) -> String {
        let root = tempfile::tempdir().expect("a temporary folder");
        let file = |path: &str, content: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        };
        files.iter().for_each(|path| file(path, ""));
        file("sys/bus/usb/devices/1-1/product", "TM-T20\n");
        file("sys/bus/usb/devices/1-1/idVendor", "04b8\n");
        file("sys/bus/usb/devices/1-1/idProduct", "0e15\n");
        file("sys/bus/usb/devices/1-1:1.0/bInterfaceClass", &format!("{class}\n"));
        if !driver.is_empty() {
            let at = root.path().join("sys/bus/usb/devices/1-1:1.0/driver");
            symlink(Path::new("../../drivers").join(driver), at).expect("a link");
        }
        told(Path::new("/dev/usb/lp0"), root.path())
    }

    #[test]
    fn a_usb_printer_under_another_name_in_other_hands_or_in_no_class_is_told_with_the_step() {
        for (files, class, driver, parts) in [
            (&["dev/usb/lp1"][..], "07", "usblp", ["\"/dev/usb/lp1\"", "give --printer /dev/usb/lp1"]),
            (
                &["dev/usb/lp1", "dev/torment-nexus-printer"],
                "07",
                "usblp",
                ["\"/dev/usb/lp1\"", "give --printer /dev/torment-nexus-printer"],
            ),
            (&[], "07", "usbfs", ["another program holds the USB printer \"TM-T20\"", "disable --now cups"]),
            (&[], "07", "", ["no driver has taken the USB printer", "modprobe usblp"]),
            (&[], "ff", "", ["vendor's \"TM-T20\" (04b8:0e15)", "printer class"]),
            (&[], "03", "usbhid", ["no printer \"/dev/usb/lp0\"; ", "switch it on"]),
        ] {
            let told = told_with(files, class, driver);
            assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        }
    }
}
