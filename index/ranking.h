// The best of many rows, and the rows that may be among them.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace {

struct Scored {
    float score;
    int64_t seq;
};

bool is_better(const Scored& one, const Scored& other) {
    return one.score > other.score || (one.score == other.score && one.seq < other.seq);
}

// The best k of what it is shown, the worst of them on top.
class Best {
  public:
    explicit Best(size_t k) : k_(k) {}

    void show(const Scored& row) {
        if (rows_.size() == k_) {
            if (!is_better(row, rows_.front())) return;
            std::pop_heap(rows_.begin(), rows_.end(), is_better);
            rows_.back() = row;
        } else {
            rows_.push_back(row);
        }
        std::push_heap(rows_.begin(), rows_.end(), is_better);
    }
    // A row that scores less is not among them.
    float least() const {
        return rows_.size() < k_ ? -std::numeric_limits<float>::infinity() : rows_.front().score;
    }
    void show(const Best& others) {
        for (const Scored& row : others.rows_) show(row);
    }
    std::vector<Scored> in_order() {
        std::sort(rows_.begin(), rows_.end(), is_better);
        return std::move(rows_);
    }

  private:
    size_t k_;
    std::vector<Scored> rows_;
};

// Numbers, ascending, and whether others are among them.
class Among {
  public:
    Among(const int64_t* numbers, size_t count) : numbers_(numbers), count_(count) {
        if (!count) return;
        const auto span = static_cast<uint64_t>(numbers[count - 1] - numbers[0]) + 1;
        if (span > FLAGS_PER_NUMBER * count) return;  // few of many: looked up one by one
        flags_.resize(span + 1);  // the last one stands for all numbers outside
        for (size_t n = 0; n < count; ++n) flags_[static_cast<size_t>(numbers[n] - numbers[0])] = 1;
    }

    bool has(int64_t number) const {
        if (flags_.empty()) return std::binary_search(numbers_, numbers_ + count_, number);
        const auto place = static_cast<uint64_t>(number - numbers_[0]);  // wraps around below the first
        return flags_[std::min<uint64_t>(place, flags_.size() - 1)];
    }

  private:
    static constexpr uint64_t FLAGS_PER_NUMBER = 256;

    const int64_t* numbers_;
    size_t count_;
    std::vector<uint8_t> flags_;
};

}  // namespace
