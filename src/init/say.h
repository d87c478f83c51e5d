#pragma once
// gpc-init's own words: one line each, "gpc-init: …". As the machine's PID 1 they go to the kernel log (which
// reaches the console and survives the console being away), otherwise to standard error. Waits for a
// moment at most: what cannot be written then is lost. Never allocates.

namespace gpcsup::init {

// From now on say() writes to /dev/kmsg, if that can be opened.
void say_to_kernel_log();

void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

// For a person at the console, always on standard error: steps of shutdown, the emergency shell.
void announce(const char* format, ...) __attribute__((format(printf, 1, 2)));

// strerror(3) without its buffer.
const char* error_text(int code);

}  // namespace gpcsup::init
