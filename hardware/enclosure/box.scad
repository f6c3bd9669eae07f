// SPDX-License-Identifier: CERN-OHL-P-2.0
// The enclosure of Torment Nexus: three printed parts. `make` in this folder
// exports them. All lengths are millimetres.
//
//   body   the box, open below: button and light on top, printer in the front
//   base   the floor: standoffs of the Pi, strain relief, feet
//   cover  in front of the printer: the paper slot with its chute; two screws, so
//          that the technician reaches the roll and visitors do not
//
// Axes: x to the right, y to the back, z up; the origin is the middle of the front
// edge of the floor. Nobody has printed this box yet.

// What to export: "body", "base", "cover"; or, for the pictures, "all" apart, or the
// "cut" through the middle of the assembled box.
part = "all"; // [body, base, cover, all, cut]

/* [Printer: measure yours] */
// Panel cut-out: "Installation port size 103.3*57.3mm" in the manual of the Cashino
// CSN-A2L. No data sheet of the QR204 was found, and clones differ: measure the
// part that goes through the panel, and add 0.5.
printer_w = 103.3;
printer_h = 57.3;
// The printer's face, that is, what stays in front of the panel. Width and height
// are those of a CSN-A2 (111 × 65); how far it stands out is an estimate.
face_w = 112;
face_h = 66;
face_depth = 12;
// Where the paper leaves the face, above its middle: an estimate.
exit_z = 18;
// How far the printer reaches behind the panel, with its plugs: an estimate.
printer_depth = 75;

/* [Button and light] */
// 30 for an arcade button; 16, 19 or 22 for a metal one.
button_d = 30;
// Length of the button below the panel, with its contacts.
button_depth = 45;
// A 5 mm LED in a panel holder: see the holder; 8 is common.
light_d = 8;

/* [Cables] */
// DC socket 5.5 × 2.1 for the printer, panel type.
dc_d = 8.2;
// Panel fuse holder 5 × 20.
fuse_d = 12.5;
// Opening for the Pi's micro-USB plug; it is open below, so that the cable needs
// not be cut.
usb_w = 13;
usb_h = 9;

/* [Box] */
width = 160;
depth = 135;
height = 150;
wall = 3;
corner = 6;
// Heat-set inserts M3: 4.0. Self-tapping screws 3 mm: 2.5.
insert_d = 4.0;
slot_w = 97;
slot_h = 6;
// Clearance between parts that fit into each other.
gap = 0.4;

/* [Hidden] */
// Raspberry Pi Zero 2 W: 65 × 30, holes 58 × 23, M2.5.
pi_size = [65, 30, 1.6];
pi_holes = [58, 23];
pi_standoff = 6;
// Header to the front, sockets to the back; SD card to the right.
pi_at = [30, 70];
// The Pi's socket for power is 54 from the edge with the SD card.
pwr_x = pi_at[0] + pi_size[0] / 2 - 54;
button_y = 92;
light_y = 38;
printer_z = 76;
cover_depth = 34;
screw_x = 70;
post = 10;
$fn = 48;

assert(button_y - button_d / 2 > printer_depth || height - wall - button_depth > printer_z + face_h / 2,
       "the button's contacts touch the printer: make the box higher or deeper");
assert(screw_x + 8 < width / 2, "no room for the cover's screws: make the box wider");
assert(printer_depth + wall < depth, "the printer does not fit: make the box deeper");

module rounded(size, radius) {
  linear_extrude(size[2])
    offset(radius) square([size[0] - 2 * radius, size[1] - 2 * radius], center = true);
}

// A slot of width w and length l with round ends, through a wall of the given thickness.
module slot(w, l, thick) {
  hull() for (end = [-1, 1]) translate([end * (l - w) / 2, 0, -1]) cylinder(d = w, h = thick + 2, $fn = 16);
}

module posts(d, h) {
  for (x = [-1, 1], y = [0, 1])
    translate([x * (width / 2 - wall - post / 2), y ? depth - wall - post / 2 : wall + post / 2, 0])
      cylinder(d = d, h = h);
}

module body() {
  difference() {
    union() {
      difference() {
        translate([0, depth / 2, 0]) rounded([width, depth, height], corner);
        translate([0, depth / 2, -1]) rounded([width - 2 * wall, depth - 2 * wall, height - wall + 1], corner - wall);
      }
      // Corner posts for the floor, joined to the walls, and sloped so that they
      // print without support.
      intersection() {
        translate([0, depth / 2, 0]) rounded([width, depth, height], corner);
        for (x = [-1, 1], y = [-1, 1]) translate([0, depth / 2, 0]) hull() {
          translate([x * (width / 2 - (wall + post) / 2), y * (depth / 2 - (wall + post) / 2), wall + gap + 7])
            cube([wall + post, wall + post, 14], center = true);
          translate([x * (width / 2 - wall / 2), y * (depth / 2 - wall / 2), wall + gap + 15])
            cube([wall, wall, 26], center = true);
        }
      }
      // Material for the cover's inserts.
      for (x = [-1, 1]) translate([x * screw_x, wall - 0.1, printer_z]) rotate([-90, 0, 0]) cylinder(d = 9, h = 5);
    }
    translate([0, 0, -0.1]) posts(insert_d, 14);
    // Printer.
    translate([-printer_w / 2, -1, printer_z - printer_h / 2]) cube([printer_w, wall + 2, printer_h]);
    for (x = [-1, 1]) translate([x * screw_x, -1, printer_z]) rotate([-90, 0, 0]) cylinder(d = insert_d, h = wall + 5);
    // Button and light, on top.
    translate([0, button_y, height - wall - 1]) cylinder(d = button_d, h = wall + 2, $fn = 96);
    translate([0, light_y, height - wall - 1]) cylinder(d = light_d, h = wall + 2);
    // Vents: low in both sides, high in both sides and in the back. 3 mm: no finger
    // gets in.
    for (x = [-1, 1], i = [0:7], z = [26, height - 26])
      translate([x * width / 2, 30 + 10 * i, z]) rotate([0, 90, 0]) translate([0, 0, -wall - 1]) slot(3, 24, 2 * wall + 1);
    for (i = [-4:4])
      translate([12 * i, depth, height - 26]) rotate([90, 90, 0]) translate([0, 0, -1]) slot(3, 24, wall + 2);
    // Cables, in the back.
    translate([-50, depth + 1, 32]) rotate([90, 0, 0]) cylinder(d = dc_d, h = wall + 2);
    translate([-50, depth + 1, 62]) rotate([90, 0, 0]) cylinder(d = fuse_d, h = wall + 2);
    translate([pwr_x - usb_w / 2, depth - wall - 1, -1]) cube([usb_w, wall + 2, wall + gap + usb_h + 1]);
  }
}

// A bridge that a cable tie goes through.
module tie(w = 16) {
  difference() {
    translate([-w / 2, -5, 0]) cube([w, 10, 9]);
    translate([-w, -2.25, 4]) cube([2 * w, 4.5, 2.4]);
    // A bed for the cable.
    translate([0, 6, 13]) rotate([90, 0, 0]) cylinder(d = 12, h = 12);
  }
}

module base() {
  difference() {
    union() {
      translate([0, depth / 2, 0]) rounded([width - 2 * wall - 2 * gap, depth - 2 * wall - 2 * gap, wall], corner - wall);
      translate([pi_at[0], pi_at[1], wall]) for (x = [-1, 1], y = [-1, 1])
        translate([x * pi_holes[0] / 2, y * pi_holes[1] / 2, 0]) cylinder(d = 6, h = pi_standoff);
      translate([pwr_x, depth - wall - 10, wall]) tie();
      translate([-50, depth - wall - 22, wall]) tie();
    }
    // Screws of the floor, with countersunk heads from below.
    translate([0, 0, -1]) posts(3.4, wall + 2);
    for (x = [-1, 1], y = [0, 1])
      translate([x * (width / 2 - wall - post / 2), y ? depth - wall - post / 2 : wall + post / 2, -0.01])
        cylinder(d1 = 6.6, d2 = 3.4, h = 1.8);
    // M2.5 screws of the Pi cut their own thread.
    translate([pi_at[0], pi_at[1], wall - 1]) for (x = [-1, 1], y = [-1, 1])
      translate([x * pi_holes[0] / 2, y * pi_holes[1] / 2, 0]) cylinder(d = 2.1, h = pi_standoff + 2, $fn = 24);
    // Air from below, between the feet, under the Pi.
    for (i = [-3:3]) translate([pi_at[0] + 8 * i, pi_at[1], 0]) rotate(90) slot(3, 16, wall);
    // Feet.
    for (x = [-1, 1], y = [28, depth - 28]) translate([x * (width / 2 - 22), y, -0.01]) cylinder(d = 10.5, h = 1);
  }
}

// The cover's front is at y = -cover_depth. The chute is a funnel from the printer's
// face to the slot, as wide as the slot.
module cover() {
  shell = 2.4;
  w = face_w + 2 * shell + 4;
  h = face_h + 2 * shell + 14;
  mouth = 15;
  back = cover_depth - face_depth - 3;
  translate([0, 0, printer_z]) difference() {
    union() {
      difference() {
        translate([0, 0, 0]) rotate([90, 0, 0]) rounded([w, h, cover_depth], 5);
        translate([0, 1, 0]) rotate([90, 0, 0]) rounded([w - 2 * shell, h - 2 * shell, cover_depth - shell + 1], 5 - shell);
      }
      // Ears for the two screws, sloped so that they print without support.
      for (x = [-1, 1]) hull() {
        translate([x * screw_x, 0, 0]) rotate([90, 0, 0]) cylinder(d = 12, h = 3);
        translate([x * (w / 2 - 1), -11, 0]) cube([2, 22, 24], center = true);
      }
      // The chute: outside.
      intersection() {
        translate([0, -cover_depth, exit_z]) funnel(slot_w + 2 * shell, slot_h / 2 + shell, mouth + shell, back + shell);
        translate([0, 0, 0]) rotate([90, 0, 0]) rounded([w, h, cover_depth], 5);
      }
    }
    // The chute: inside, open at both ends.
    translate([0, -cover_depth - 1, exit_z]) funnel(slot_w, slot_h / 2, mouth, back + shell + 2);
    // The room of the printer's face, where the ears are.
    rotate([-90, 0, 0]) translate([0, 0, -3.1]) linear_extrude(4) square([w - 2 * shell, h - 2 * shell], center = true);
    for (x = [-1, 1]) {
      translate([x * screw_x, 1, 0]) rotate([90, 0, 0]) cylinder(d = 3.4, h = 6);
      // The screw's head.
      translate([x * screw_x, -3, 0]) rotate([90, 0, 0]) cylinder(d = 7, h = cover_depth);
    }
  }
}

// From half height a at y = 0 to half height b at y = length.
module funnel(w, a, b, length) {
  rotate([90, 0, 90]) translate([0, 0, -w / 2])
    linear_extrude(w) polygon([[0, -a], [0, a], [length, b], [length, -b]]);
}

// What is bought, roughly, for the pictures only.
module printer() {
  translate([-printer_w / 2 + 0.5, 0, printer_z - printer_h / 2 + 0.5])
    cube([printer_w - 1, printer_depth - 15, printer_h - 1]);
  translate([-face_w / 2, -face_depth, printer_z - face_h / 2]) cube([face_w, face_depth, face_h]);
}

module paper(out) {
  translate([-29, -cover_depth - out, printer_z + exit_z])
    cube([58, out + cover_depth - face_depth, 0.4]);
}

module button() {
  translate([0, button_y, height - button_depth]) cylinder(d = button_d - 1, h = button_depth);
  translate([0, button_y, height]) cylinder(d = button_d + 3, h = 6);
}

module bought() {
  color("DarkSlateGray") printer();
  color("Ivory") paper(80);
  color("Crimson") button();
  color("Red") translate([0, light_y, height]) cylinder(d1 = light_d + 2, d2 = light_d - 3, h = 4);
}

if (part == "body") body();
if (part == "base") base();
// Printed with the slot's side on the bed.
if (part == "cover") translate([0, 0, cover_depth]) rotate([90, 0, 0]) translate([0, 0, -printer_z]) cover();
if (part == "all") {
  color("Gainsboro") body();
  bought();
  translate([0, -62, 0]) color("LightSteelBlue") cover();
  translate([0, 0, -75]) {
    color("Silver") base();
    color("SeaGreen") translate([pi_at[0], pi_at[1], wall + pi_standoff + 0.8]) cube(pi_size, center = true);
  }
}

module half(hue) {
  difference() {
    color(hue) children();
    color("Goldenrod") translate([-width, -100, -1]) cube([width, depth + 200, height + 50]);
  }
}

if (part == "cut") {
  half("Gainsboro") body();
  half("Silver") base();
  half("LightSteelBlue") cover();
  half("DimGray") printer();
  half("Ivory") paper(30);
  half("Crimson") button();
  color("SeaGreen") translate([pi_at[0], pi_at[1], wall + pi_standoff + 0.8]) cube(pi_size, center = true);
}
