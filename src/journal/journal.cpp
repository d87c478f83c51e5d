#include "journal/journal.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <ctime>
#include <deque>
#include <vector>

namespace gpcsup::journal {

namespace {

template <clockid_t clock>
std::uint64_t now_ns() {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

base::Result<std::string> content(int descriptor) {
    struct stat status {};
    if (fstat(descriptor, &status) != 0) {
        return base::fail(errno, "read", "the journal");
    }
    std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t got =
            pread(descriptor, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        if (got < 0) {
            return base::fail(errno, "read", "the journal");
        }
        if (got == 0) {
            break;
        }
        done += static_cast<std::size_t>(got);
    }
    bytes.resize(done);
    return bytes;
}

}  // namespace

Clocks system_clocks() {
    return {now_ns<CLOCK_MONOTONIC>, now_ns<CLOCK_REALTIME>};
}

base::Result<Journal> Journal::create(Clocks clocks) {
    base::Fd memfd(memfd_create("gpcsup-journal", MFD_CLOEXEC));
    if (!memfd) {
        return base::fail(errno, "create", "the journal");
    }
    return Journal(std::move(memfd), clocks);
}

base::Result<Journal> Journal::adopt(base::Fd memfd, Clocks clocks) {
    Journal journal(std::move(memfd), clocks);
    auto bytes = content(journal.descriptor());
    if (!bytes) {
        return base::pass(bytes);
    }
    auto rest = std::as_bytes(std::span(*bytes));
    while (auto decoded = decode(rest)) {
        journal.end_ += decoded->size;
        if (decoded->record.meaning != Meaning::past) {
            journal.next_sequence_ = decoded->record.sequence + 1;
        }
        rest = rest.subspan(decoded->size);
    }
    journal.leftover_ = rest.size();
    if (!rest.empty() && ftruncate(journal.descriptor(), static_cast<off_t>(journal.end_)) != 0) {
        return base::fail(errno, "cut the torn end of", "the journal");
    }
    return journal;
}

base::Result<std::uint64_t> Journal::note(std::string_view event, std::string_view body) {
    return append(Meaning::note, event, {}, body);
}

base::Result<std::uint64_t> Journal::state(std::string_view event, std::string_view key,
                                           std::string_view body) {
    return append(Meaning::state, event, key, body);
}

base::Result<std::uint64_t> Journal::erase(std::string_view event, std::string_view key,
                                           std::string_view body) {
    return append(Meaning::erasure, event, key, body);
}

base::Result<std::uint64_t> Journal::append(Meaning meaning, std::string_view event, std::string_view key,
                                            std::string_view body) {
    Record record{next_sequence_,     clocks_.monotonic_ns(), clocks_.realtime_ns(), meaning,
                  std::string(event), std::string(key),       std::string(body)};
    if (auto written = write(record); !written) {
        return base::pass(written);
    }
    return next_sequence_++;
}

base::Result<> Journal::write(const Record& record) {
    const std::string bytes = encode(record);
    if (bytes.size() > largest_record || record.event.size() > UINT16_MAX || record.key.size() > UINT16_MAX) {
        return base::fail(E2BIG, "append to", "the journal", "a record is at most 1 MiB");
    }
    const ssize_t written = pwrite(memfd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(end_));
    if (written != static_cast<ssize_t>(bytes.size())) {
        const int code = written < 0 ? errno : ENOSPC;
        (void)ftruncate(memfd_.get(), static_cast<off_t>(end_));
        return base::fail(code, "append to", "the journal");
    }
    end_ += bytes.size();
    return {};
}

base::Result<> Journal::read(const std::function<Visit(const Record&)>& visit) const {
    auto bytes = content(descriptor());
    if (!bytes) {
        return base::pass(bytes);
    }
    auto rest = std::as_bytes(std::span(*bytes));
    while (auto decoded = decode(rest)) {
        if (visit(decoded->record) == Visit::stop) {
            break;
        }
        rest = rest.subspan(decoded->size);
    }
    return {};
}

base::Result<Journal> Journal::compacted(const std::function<base::Result<>(Journal&)>& write_states) const {
    std::deque<Record> newest;
    auto collected = read([&](const Record& record) {
        if (!record.event.empty()) {
            newest.push_back(record);
            if (newest.size() > history) {
                newest.pop_front();
            }
        }
        return Visit::go_on;
    });
    if (!collected) {
        return base::pass(collected);
    }
    auto successor = create(clocks_);
    if (!successor) {
        return successor;
    }
    for (Record& record : newest) {
        record.meaning = Meaning::past;
        if (auto written = successor->write(record); !written) {
            return base::pass(written);
        }
    }
    successor->next_sequence_ = next_sequence_;
    if (auto written = write_states(*successor); !written) {
        return base::pass(written);
    }
    successor->compacted_end_ = successor->end_;
    return successor;
}

base::Result<States> fold(const Journal& journal) {
    States states;
    auto done = journal.read([&](const Record& record) {
        if (record.meaning == Meaning::state) {
            states.insert_or_assign(record.key, record);
        } else if (record.meaning == Meaning::erasure) {
            states.erase(record.key);
        }
        return Journal::Visit::go_on;
    });
    if (!done) {
        return base::pass(done);
    }
    return states;
}

}  // namespace gpcsup::journal
