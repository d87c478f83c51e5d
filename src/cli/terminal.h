#pragma once
// A terminal of the command's own (a pty), and the relay between it and ours: what makes Ctrl-C, job control
// and full-screen programs work in `gpcsup run`. Nothing in here knows the supervisor.

#include <poll.h>
#include <termios.h>

#include <array>
#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::cli {

struct Pty {
    base::Fd master;  // non-blocking
    base::Fd slave;   // the command's; with the settings and size of LIKE
};
base::Result<Pty> open_pty(int like);

// The terminal DESCRIPTOR passes every key on as it is, until this goes.
class RawMode {
  public:
    static base::Result<RawMode> enter(int descriptor);
    RawMode(RawMode&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)), before_(other.before_) {}
    RawMode& operator=(RawMode&&) = delete;
    RawMode(const RawMode&) = delete;
    RawMode& operator=(const RawMode&) = delete;
    ~RawMode();

  private:
    RawMode(int descriptor, const termios& before) : descriptor_(descriptor), before_(before) {}
    int descriptor_;
    termios before_;
};

// Moves bytes both ways between INPUT, OUTPUT and a pty's master, through bounded buffers and without ever
// blocking.
class Relay {
  public:
    // INPUT and OUTPUT stay the caller's; they are not made non-blocking (they are shared with others).
    Relay(int input, int output, base::Fd master);

    void watch(std::vector<pollfd>& into);           // adds what it waits for
    void tend(std::span<const pollfd> descriptors);  // those (any others are ignored), after poll(2)
    void take_window_size(int from);                 // SIGWINCH

    // Until all that was written on the slave has been written to the output, at most for PATIENCE.
    void drain(std::chrono::milliseconds patience);

  private:
    enum class Ended { no, yes };
    void read_input();
    void read_master();
    void write_master();
    void write_output();

    int input_;
    int output_;
    base::Fd own_output_;  // a second open file of the same terminal, which may be non-blocking
    base::Fd master_;
    std::string to_master_;
    std::string to_output_;
    Ended input_ended_ = Ended::no;
    Ended master_ended_ = Ended::no;
};

}  // namespace gpcsup::cli
