"""Weights from elsewhere, and weights for others: conversion of the released checkpoints."""
