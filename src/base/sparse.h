#pragma once
// A container (or string) that is nearly always empty: it costs one pointer until something is in it. For
// members of what exists a thousand times. It reads as its T does; changing it takes edit(), or an
// assignment.

#include <memory>
#include <utility>

namespace gpcsup::base {

template <class T>
class Sparse {
  public:
    using value_type = typename T::value_type;

    Sparse() = default;
    Sparse(T value) { *this = std::move(value); }
    Sparse(const Sparse& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
    Sparse(Sparse&&) noexcept = default;
    Sparse& operator=(const Sparse& other) { return *this = Sparse(other); }
    Sparse& operator=(Sparse&&) noexcept = default;
    Sparse& operator=(T value) {
        value_ = value.empty() ? nullptr : std::make_unique<T>(std::move(value));
        return *this;
    }
    ~Sparse() = default;

    [[nodiscard]] const T& operator*() const {
        static const T nothing;
        return value_ ? *value_ : nothing;
    }
    [[nodiscard]] const T* operator->() const { return &**this; }
    operator const T&() const { return **this; }

    [[nodiscard]] bool empty() const { return (**this).empty(); }
    [[nodiscard]] auto size() const { return (**this).size(); }
    [[nodiscard]] auto begin() const { return (**this).begin(); }
    [[nodiscard]] auto end() const { return (**this).end(); }

    [[nodiscard]] T& edit() {
        if (!value_) {
            value_ = std::make_unique<T>();
        }
        return *value_;
    }

    friend bool operator==(const Sparse& left, const Sparse& right) { return *left == *right; }
    friend bool operator==(const Sparse& left, const T& right) { return *left == right; }

  private:
    std::unique_ptr<T> value_;
};

}  // namespace gpcsup::base
