#include "units/unit_state.h"

#include <cerrno>
#include <cstring>
#include <type_traits>

namespace gpcsup::units {

namespace {

constexpr std::uint8_t format_version = 1;

class Writer {
  public:
    template <class T>
    void put(T value) {
        static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
        const auto* bytes = reinterpret_cast<const std::byte*>(&value);
        data_.insert(data_.end(), bytes, bytes + sizeof value);
    }
    void put(const std::string& text) {
        put(static_cast<std::uint32_t>(text.size()));
        const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
        data_.insert(data_.end(), bytes, bytes + text.size());
    }
    void put(TimePoint time) { put(static_cast<std::int64_t>(time.time_since_epoch().count())); }
    std::vector<std::byte> take() { return std::move(data_); }

  private:
    std::vector<std::byte> data_;
};

// Reads what Writer wrote; once something does not fit, everything after reads as nothing and `good` says so.
class Reader {
  public:
    explicit Reader(std::span<const std::byte> data) : data_(data) {}

    template <class T>
    T get() {
        T value{};
        if (const auto bytes = take(sizeof value); !bytes.empty()) {
            std::memcpy(&value, bytes.data(), sizeof value);
        }
        return value;
    }
    template <class T>
    T get_enum(T last) {
        const auto value = get<T>();
        if (static_cast<long>(value) < 0 || value > last) {
            good_ = false;
            return T{};
        }
        return value;
    }
    std::string get_text() {
        const auto bytes = take(get<std::uint32_t>());
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    TimePoint get_time() { return TimePoint(base::Duration(get<std::int64_t>())); }
    [[nodiscard]] bool good() const { return good_; }
    [[nodiscard]] std::size_t left() const { return data_.size(); }

  private:
    std::span<const std::byte> take(std::size_t size) {
        if (!good_ || size > data_.size()) {
            good_ = false;
            return {};
        }
        const auto bytes = data_.first(size);
        data_ = data_.subspan(size);
        return bytes;
    }
    std::span<const std::byte> data_;
    bool good_ = true;
};

// In the order of the flags' declaration.
constexpr bool UnitState::*flags[] = {&UnitState::wished,     &UnitState::held,       &UnitState::due,
                                      &UnitState::lost,       &UnitState::restarting, &UnitState::members,
                                      &UnitState::unconfirmed};

}  // namespace

std::vector<std::byte> encode(const UnitState& state) {
    Writer out;
    out.put(format_version);
    out.put(state.name);
    out.put(state.state);
    out.put(state.phase);
    out.put(state.outcome);
    out.put(state.origin);
    out.put(state.reason);
    std::uint8_t bits = 0;
    for (std::size_t i = 0; i < std::size(flags); ++i) {
        bits |= static_cast<std::uint8_t>((state.*flags[i] ? 1u : 0u) << i);
    }
    out.put(bits);
    out.put(state.main.pid);
    out.put(state.main.start_time);
    out.put(static_cast<std::uint8_t>(state.exit ? 1 : 0));
    if (state.exit) {
        out.put(state.exit->kind);
        out.put(state.exit->number);
    }
    out.put(state.intent);
    out.put(state.restarts);
    out.put(static_cast<std::uint32_t>(state.starts.size()));
    for (TimePoint start : state.starts) {
        out.put(start);
    }
    out.put(static_cast<std::int64_t>(state.delay.count()));
    out.put(state.since);
    out.put(state.active_since);
    out.put(static_cast<std::uint8_t>(state.deadline ? 1 : 0));
    if (state.deadline) {
        out.put(*state.deadline);
    }
    return out.take();
}

base::Result<UnitState> decode_unit_state(std::span<const std::byte> data) {
    Reader in(data);
    if (in.get<std::uint8_t>() != format_version) {
        return base::refuse(EPROTO, "the recorded state of a unit has another version");
    }
    UnitState state;
    state.name = in.get_text();
    state.state = in.get_enum(State::backoff);
    state.phase = in.get_enum(Phase::killed);
    state.outcome = in.get_enum(Outcome::retry);
    state.origin = in.get_enum(Origin::leaving);
    state.reason = in.get_text();
    const auto bits = in.get<std::uint8_t>();
    for (std::size_t i = 0; i < std::size(flags); ++i) {
        state.*flags[i] = ((bits >> i) & 1) != 0;
    }
    state.main.pid = in.get<pid_t>();
    state.main.start_time = in.get<std::uint64_t>();
    if (in.get<std::uint8_t>() != 0) {
        const auto kind = in.get_enum(ExitKind::unknown);
        state.exit = ExitStatus{kind, in.get<int>()};
    }
    state.intent = in.get<std::uint64_t>();
    state.restarts = in.get<std::uint32_t>();
    const auto starts = in.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < starts && in.good(); ++i) {
        state.starts.push_back(in.get_time());
    }
    state.delay = base::Duration(in.get<std::int64_t>());
    state.since = in.get_time();
    state.active_since = in.get_time();
    if (in.get<std::uint8_t>() != 0) {
        state.deadline = in.get_time();
    }
    if (!in.good() || in.left() != 0) {
        return base::refuse(EPROTO, "the recorded state of a unit is damaged");
    }
    return state;
}

}  // namespace gpcsup::units
