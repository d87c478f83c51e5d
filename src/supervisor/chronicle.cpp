#include "supervisor/chronicle.h"

#include <fmt/format.h>

#include <cassert>
#include <cstdio>
#include <ctime>
#include <deque>

#include "control/event_names.h"

namespace gpcsup::supervisor {

namespace {

std::string line_of(const journal::Record& record) {
    std::string line =
        fmt::format(R"({{"seq":{},"time":"{}","monotonic_ns":{},"event":"{}")", record.sequence,
                    format_time(record.realtime_ns), record.monotonic_ns, record.event);
    if (record.body.size() > 2) {  // more than "{}"
        line += ',';
        line.append(record.body, 1);
    } else {
        line += '}';
    }
    return line;
}

}  // namespace

std::string text_of(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string format_time(std::uint64_t realtime_ns) {
    const auto seconds = static_cast<time_t>(realtime_ns / 1'000'000'000u);
    tm parts{};
    gmtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                       realtime_ns / 1000 % 1'000'000);
}

std::uint64_t Chronicle::note(std::string_view event, const Json& body) {
    const std::string text = text_of(body);
    return written(journal_.note(event, text), event, text);
}

std::uint64_t Chronicle::state(std::string_view event, std::string_view key, const Json& body) {
    const std::string text = text_of(body);
    return written(journal_.state(event, key, text), event, text);
}

std::uint64_t Chronicle::erase(std::string_view event, std::string_view key, const Json& body) {
    const std::string text = text_of(body);
    return written(journal_.erase(event, key, text), event, text);
}

base::Result<> Chronicle::intend(std::string_view key, const Json& body) {
    auto written = journal_.state({}, key, text_of(body));
    return written ? base::Result<>() : base::pass(written);
}

void Chronicle::keep(std::string_view key, std::string_view bytes) {
    written(journal_.state({}, key, bytes), {}, {});
}

std::uint64_t Chronicle::written(const base::Result<std::uint64_t>& sequence, std::string_view event,
                                 const std::string& body) {
    if (!sequence) {
        if (!std::exchange(failing_, true)) {
            fmt::print(stderr, "gpcsupd: {}\n", sequence.error().message());
        }
        return next_sequence();
    }
    failing_ = false;
    assert(event.empty() || control::is_event_name(event));
    if (!event.empty() && listener_) {
        journal::Record record;
        record.sequence = *sequence;
        record.monotonic_ns = journal::system_clocks().monotonic_ns();
        record.realtime_ns = journal::system_clocks().realtime_ns();
        record.event = event;
        record.body = body;
        listener_(line_of(record));
    }
    return *sequence;
}

// What no rewriter has written anew is as it was: the state is the fold of the journal, whoever wrote it.
void Chronicle::carry_over(const journal::States& states) {
    const auto rewritten = journal::fold(journal_);
    for (const auto& [key, record] : states) {
        if (rewritten && !rewritten->contains(key)) {
            keep(key, record.body);
        }
    }
    failing_ = failing_ || !rewritten;
}

void Chronicle::compact_when_grown() {
    if (!journal_.wants_compaction()) {
        return;
    }
    auto states = journal::fold(journal_);
    if (!states) {
        return;
    }
    auto successor = journal_.compacted([&](journal::Journal& fresh) -> base::Result<> {
        // The rewriters write through this object, so the fresh journal takes the old one's place while they
        // do.
        std::swap(journal_, fresh);
        const auto listener = std::exchange(listener_, nullptr);
        failing_ = false;
        for (const Rewrite& rewrite : rewriters_) {
            rewrite(*this);
        }
        listener_ = listener;
        carry_over(*states);
        std::swap(journal_, fresh);
        if (failing_) {
            return base::fail(ENOSPC, "compact", "the journal");
        }
        return {};
    });
    if (!successor) {
        return;  // the old journal is whole and goes on growing; the next append says if it cannot
    }
    auto kept = keeper_.keep(wire::KeepClass::journal, 0, "journal", successor->descriptor());
    if (kept) {
        journal_ = std::move(*successor);
        return;
    }
    // What is not kept a successor does not see: the old one goes on. gpc-init has it still, or again, if it
    // was only late.
    if (kept.error().code == ETIMEDOUT) {
        (void)keeper_.keep(wire::KeepClass::journal, 0, "journal", journal_.descriptor());
    }
    journal_.postpone_compaction();
    fmt::print(stderr, "gpcsupd: {}\n", kept.error().message());
    note("keep-refused", {{"what", "journal"}, {"reason", kept.error().message()}});
}

base::Result<std::pair<std::string, std::uint64_t>> Chronicle::lines(std::uint64_t since,
                                                                     std::uint64_t most) const {
    std::deque<std::string> newest;
    auto done = journal_.read([&](const journal::Record& record) {
        if (!record.event.empty() && record.sequence >= since) {
            newest.push_back(line_of(record));
            if (most != 0 && newest.size() > most) {
                newest.pop_front();
            }
        }
        return journal::Journal::Visit::go_on;
    });
    if (!done) {
        return base::pass(done);
    }
    std::string text;
    for (const std::string& line : newest) {
        text += line;
        text += '\n';
    }
    return std::pair(std::move(text), next_sequence());
}

Json Chronicle::last_event_of(std::string_view unit) const {
    Json newest = last_event(unit, [unit](std::string_view, const Json& body) {
        return body.is_object() && body.value("unit", "") == unit;
    });
    if (newest.is_object()) {
        return {{"seq", newest["seq"]}, {"time", newest["time"]}, {"event", newest["event"]}};
    }
    return newest;
}

Json Chronicle::last_event(std::string_view word, const Meant& meant) const {
    std::string newest;
    (void)journal_.read([&](const journal::Record& record) {
        if (!record.event.empty() && record.body.find(word) != std::string::npos &&
            meant(record.event, Json::parse(record.body, nullptr, false))) {
            newest = line_of(record);
        }
        return journal::Journal::Visit::go_on;
    });
    return newest.empty() ? Json() : Json::parse(newest, nullptr, false);
}

}  // namespace gpcsup::supervisor
