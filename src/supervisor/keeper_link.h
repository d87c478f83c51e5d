#pragma once
// gpcsupd's end of the channel to gpc-init (wire/keep.h): what gpc-init kept for us, and our requests to it.
// It decides nothing. Requests are small datagrams to a parent that always reads; a full socket is waited
// for, at most a second at a time, and the answer to keep() for five.

#include <cerrno>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "base/fd.h"
#include "base/result.h"
#include "wire/keep.h"

namespace gpcsup::supervisor {

struct Kept {
    base::Fd descriptor;
    std::string name;
};

class KeeperLink {
  public:
    explicit KeeperLink(base::Fd socket) : socket_(std::move(socket)) {}

    [[nodiscard]] int descriptor() const { return socket_.get(); }

    // Blocks until gpc-init has delivered everything it keeps (at start only).
    base::Result<> receive_all();
    // What came with receive_all and was not yet taken; the caller owns it. An empty Fd: gpc-init keeps no
    // such thing.
    base::Fd take(wire::KeepClass keep_class, std::uint64_t id = 0);
    [[nodiscard]] std::map<std::uint64_t, Kept> take_all(wire::KeepClass keep_class);

    // One message, if there is one.
    struct Arrival {
        wire::KeepMessage message;
        base::Fd descriptor;  // the one attached, if any
    };
    base::Result<std::optional<Arrival>> receive();
    // Of an error of receive(): gpc-init has ended. After any other it is there, and cannot be understood.
    [[nodiscard]] static bool means_gone(const base::Error& error) {
        return error.code == EPIPE || error.code == ECONNRESET;
    }

    // Once it returns well, gpc-init has it (one that cannot answer was only told). EMFILE: it has no room;
    // an older one of the same key stays.
    base::Result<> keep(wire::KeepClass keep_class, std::uint64_t id, std::string_view name, int descriptor);
    // `call` is called when messages came while keep() waited for its answer: receive() has them, and no
    // descriptor tells of it.
    void on_waiting(std::function<void()> call);
    base::Result<> drop(wire::KeepClass keep_class, std::uint64_t id);
    base::Result<> send(wire::KeepVerb verb, std::uint64_t argument = 0);

  private:
    base::Result<std::optional<Arrival>> receive_now();
    base::Result<> await_answer(const wire::KeepMessage& request);
    base::Result<> transmit(const wire::KeepMessage& message, int descriptor);

    base::Fd socket_;
    std::map<std::pair<wire::KeepClass, std::uint64_t>, Kept> kept_;
    std::deque<Arrival> waiting_;  // no more than gpc-init sends before an answer that it owes
    std::function<void()> on_waiting_;
    std::uint64_t last_question_ = 0;
    std::uint64_t abilities_ = wire::init_abilities;  // of the gpc-init at the other end
};

}  // namespace gpcsup::supervisor
